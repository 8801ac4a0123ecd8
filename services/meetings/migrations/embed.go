// Package migrations holds the schema as numbered steps that only go forward, each safe with the release before it.
package migrations

import "embed"

// FS is every migration, in goose's format.
//
//go:embed *.sql
var FS embed.FS
