package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// loadTasks locks rows of jobs that are no meeting's google row. After the check rows, which may be among them.
func loadTasks(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	if len(n.Tasks) == 0 {
		return nil
	}
	return []read{func(q *db.Queries) error {
		rows, err := q.LockTasks(ctx, n.Tasks)
		if err != nil {
			return err
		}
		for i := range rows {
			t, err := decodeTask(&rows[i])
			if err != nil {
				return err
			}
			if u.Tasks[t.ID] == nil {
				u.Tasks[t.ID] = t
			}
		}
		return nil
	}}
}

// newTasks are the columns of rows to add, in the order of the statements' parameters.
type newTasks struct {
	createdAt                      time.Time
	ids                            []uuid.UUID
	classes, kinds, keys, payloads []string
	traceparents                   []string
	meetingIDs                     []int64
	dueAts                         []time.Time
}

func columnsOf(tasks []*task.Task, now time.Time) (newTasks, error) {
	c := newTasks{createdAt: now}
	for _, t := range tasks {
		id, _, err := jobIDs(&t.Job)
		if err != nil {
			return c, err
		}
		payload, err := json.Marshal(t.Payload)
		if err != nil {
			return c, fmt.Errorf("payload of job %s: %w", t.ID, err)
		}
		c.ids = append(c.ids, id)
		c.classes = append(c.classes, t.Class)
		c.kinds = append(c.kinds, t.Kind)
		c.keys = append(c.keys, t.Key)
		c.payloads = append(c.payloads, string(payload))
		c.meetingIDs = append(c.meetingIDs, int64(t.MeetingID))
		c.dueAts = append(c.dueAts, t.DueAt)
		c.traceparents = append(c.traceparents, t.Traceparent)
	}
	return c, nil
}

// saveTasks adds rows of jobs and writes those that were worked on.
func saveTasks(ctx context.Context, q *db.Queries, u *app.Unit) error {
	for _, add := range []struct {
		tasks []*task.Task
		into  func(newTasks) error
	}{
		{u.NewTasks, func(c newTasks) error {
			return q.InsertTasks(ctx, db.InsertTasksParams{CreatedAt: c.createdAt, Ids: c.ids, Classes: c.classes, Kinds: c.kinds, Keys: c.keys, Payloads: c.payloads, MeetingIds: c.meetingIDs, DueAts: c.dueAts, Traceparents: c.traceparents})
		}},
		{u.RenewedTasks, func(c newTasks) error {
			return q.RenewTasks(ctx, db.RenewTasksParams{CreatedAt: c.createdAt, Ids: c.ids, Classes: c.classes, Kinds: c.kinds, Keys: c.keys, Payloads: c.payloads, MeetingIds: c.meetingIDs, DueAts: c.dueAts, Traceparents: c.traceparents})
		}},
		{u.Checks, func(c newTasks) error {
			return q.LookAtMeetings(ctx, db.LookAtMeetingsParams{CreatedAt: c.createdAt, Ids: c.ids, Classes: c.classes, Kinds: c.kinds, Keys: c.keys, Payloads: c.payloads, MeetingIds: c.meetingIDs, DueAts: c.dueAts})
		}},
	} {
		if len(add.tasks) == 0 {
			continue
		}
		columns, err := columnsOf(add.tasks, u.Now)
		if err != nil {
			return err
		}
		if err := add.into(columns); err != nil {
			return err
		}
	}
	dirty := u.DirtyTasks()
	if len(dirty) == 0 {
		return nil
	}
	var p db.UpdateTasksParams
	for _, t := range dirty {
		id, _, err := jobIDs(&t.Job)
		if err != nil {
			return err
		}
		history, payload, result := []byte("[]"), []byte("{}"), []byte("{}")
		var errs [3]error
		if len(t.History) > 0 {
			history, errs[0] = json.Marshal(t.History)
		}
		if len(t.Payload) > 0 {
			payload, errs[1] = json.Marshal(t.Payload)
		}
		if len(t.Result) > 0 {
			result, errs[2] = json.Marshal(t.Result)
		}
		if err := errors.Join(errs[:]...); err != nil {
			return fmt.Errorf("texts of job %s: %w", t.ID, err)
		}
		p.Ids = append(p.Ids, id)
		p.States = append(p.States, t.State.String())
		p.DueAts = append(p.DueAts, t.DueAt)
		p.DispatchedAts = append(p.DispatchedAts, t.DispatchedAt)
		p.FailedAttempts = append(p.FailedAttempts, int32(t.FailedAttempts)) // one each minute for years fits
		p.Histories = append(p.Histories, string(history))
		p.Payloads = append(p.Payloads, string(payload))
		p.Results = append(p.Results, string(result))
		p.EndedAts = append(p.EndedAts, t.EndedAt)
	}
	return q.UpdateTasks(ctx, p)
}

// decodeTask turns the row of a job that is no meeting's google row into the rules' own type.
func decodeTask(r *db.Job) (*task.Task, error) {
	job, err := decodeJob(r)
	if err != nil {
		return nil, err
	}
	t := &task.Task{Job: job, Class: r.Class, Kind: r.Kind, Key: r.Key}
	if r.MeetingID != nil {
		t.MeetingID = meeting.ID(*r.MeetingID)
	}
	if err := errors.Join(json.Unmarshal(r.Payload, &t.Payload), json.Unmarshal(r.Result, &t.Result)); err != nil {
		return nil, fmt.Errorf("payload and result of job %s: %w", r.ID, err)
	}
	return t, nil
}
