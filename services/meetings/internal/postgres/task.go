package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// SendTasks is [app.Lead].
func (l *lead) SendTasks(ctx context.Context, class string, now time.Time, limit, window int) ([]app.Task, error) {
	out, err := l.q.CountOutOf(ctx, db.CountOutOfParams{Class: class, Bound: int64(limit)})
	if err != nil {
		return nil, fmt.Errorf("count jobs that are out: %w", err)
	}
	room := min(int64(limit)-out, int64(window))
	if room <= 0 {
		return nil, nil
	}
	rows, err := l.q.SendDueTasks(ctx, db.SendDueTasksParams{Class: class, Now: now, RowLimit: room})
	if err != nil {
		return nil, fmt.Errorf("send due jobs of class %s: %w", class, err)
	}
	tasks := make([]app.Task, 0, len(rows))
	for _, r := range rows {
		tasks = append(tasks, app.Task{JobID: r.ID.String(), Kind: r.Kind, Dispatch: r.Dispatch, Traceparent: r.Traceparent, Body: []byte(r.Body)})
	}
	return tasks, nil
}
