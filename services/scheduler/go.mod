module github.com/meet-middleware/meet-middleware/services/scheduler

go 1.26.0

require github.com/meet-middleware/meet-middleware/pkg v0.0.0

require (
	github.com/cenkalti/backoff/v5 v5.0.3 // indirect
	github.com/hashicorp/golang-lru/v2 v2.0.7 // indirect
	golang.org/x/oauth2 v0.37.0 // indirect
	google.golang.org/api v0.311.0 // indirect
)

replace github.com/meet-middleware/meet-middleware/pkg => ../../pkg
