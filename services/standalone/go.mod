module github.com/meet-middleware/meet-middleware/services/standalone

go 1.26.0

require (
	github.com/meet-middleware/meet-middleware/pkg v0.0.0
	github.com/meet-middleware/meet-middleware/services/gateway v0.0.0
	github.com/meet-middleware/meet-middleware/services/meetings v0.0.0
	github.com/meet-middleware/meet-middleware/services/scheduler v0.0.0
)

replace github.com/meet-middleware/meet-middleware/pkg => ../../pkg

replace github.com/meet-middleware/meet-middleware/services/gateway => ../gateway

replace github.com/meet-middleware/meet-middleware/services/meetings => ../meetings

replace github.com/meet-middleware/meet-middleware/services/scheduler => ../scheduler
