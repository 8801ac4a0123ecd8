package meetings

import (
	"context"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres"
)

// Migrate brings the schema of the database at url up to date, as the service does at its start.
func Migrate(ctx context.Context, url string) error { return postgres.Migrate(ctx, url) }
