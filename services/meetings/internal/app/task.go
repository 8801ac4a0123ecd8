package app

import (
	"fmt"
	"maps"
	"slices"

	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/export"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// Copies is the part of a working set that is about copies of recordings and about jobs that are not a meeting's google row.
type Copies struct {
	Keeping Keeping
	// Tasks are those loaded, by id; the dirty ones are written. NewTasks are to be added, RenewedTasks to be added or, where they
	// are over, due again; Checks are to be added, or due at their time at the latest.
	Tasks                          map[string]*task.Task
	dirtyTasks                     map[string]struct{}
	NewTasks, RenewedTasks, Checks []*task.Task
	// Exports are the recordings loaded as far as their copies go; the dirty ones are written. NewExports are those of which a copy
	// is wanted.
	Exports      map[int64]*export.Recording
	dirtyExports map[int64]struct{}
	NewExports   []*export.Recording
	// Holds are meetings whose legal hold changed.
	Holds []*meeting.Meeting
	// Chores asks and does what is about many rows, in the transaction of the batch.
	Chores Chores
}

func newCopies() Copies {
	return Copies{
		Tasks: map[string]*task.Task{}, dirtyTasks: map[string]struct{}{}, Exports: map[int64]*export.Recording{}, dirtyExports: map[int64]struct{}{},
	}
}

// Plan adds rows of jobs that are not a meeting's google row. One with a key that is there already stays as it is; see
// [Unit.Renew].
func (u *Unit) Plan(tasks ...*task.Task) { u.NewTasks = append(u.NewTasks, tasks...) }

// Renew is Plan that also makes due again a row with the same key that is over.
func (u *Unit) Renew(tasks ...*task.Task) { u.RenewedTasks = append(u.RenewedTasks, tasks...) }

// Task finds a loaded row to work on, which the store then writes; nil when there is none.
func (u *Unit) Task(id uuid.UUID) *task.Task {
	t := u.Tasks[id.String()]
	if t != nil {
		u.dirtyTasks[t.ID] = struct{}{}
	}
	return t
}

// DirtyTasks are the loaded rows that were worked on, in one order for all batches.
func (u *Unit) DirtyTasks() []*task.Task {
	out := make([]*task.Task, 0, len(u.dirtyTasks))
	for _, id := range slices.Sorted(maps.Keys(u.dirtyTasks)) {
		out = append(out, u.Tasks[id])
	}
	return out
}

// DirtyExports are the loaded recordings whose copies were worked on, in one order for all batches.
func (u *Unit) DirtyExports() []*export.Recording {
	out := make([]*export.Recording, 0, len(u.dirtyExports))
	for _, id := range slices.Sorted(maps.Keys(u.dirtyExports)) {
		out = append(out, u.Exports[id])
	}
	return out
}

// newID makes the id of a row.
func newID() (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("make a job id: %w", err)
	}
	return id.String(), nil
}
