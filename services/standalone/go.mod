module github.com/meet-middleware/meet-middleware/services/standalone

go 1.26.0

require (
	github.com/meet-middleware/meet-middleware/pkg v0.0.0
	github.com/meet-middleware/meet-middleware/services/gateway v0.0.0
	github.com/meet-middleware/meet-middleware/services/meetings v0.0.0
	github.com/meet-middleware/meet-middleware/services/scheduler v0.0.0
)

require (
	go.uber.org/dig v1.19.0 // indirect
	go.uber.org/fx v1.24.0 // indirect
	go.uber.org/multierr v1.11.0 // indirect
	go.uber.org/zap v1.26.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
)

replace github.com/meet-middleware/meet-middleware/pkg => ../../pkg

replace github.com/meet-middleware/meet-middleware/services/gateway => ../gateway

replace github.com/meet-middleware/meet-middleware/services/meetings => ../meetings

replace github.com/meet-middleware/meet-middleware/services/scheduler => ../scheduler
