module github.com/meet-middleware/meet-middleware/services/gateway

go 1.26.0

require github.com/meet-middleware/meet-middleware/pkg v0.0.0

require (
	connectrpc.com/connect v1.21.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	go.uber.org/dig v1.19.0 // indirect
	go.uber.org/fx v1.24.0 // indirect
	go.uber.org/multierr v1.10.0 // indirect
	go.uber.org/zap v1.26.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	google.golang.org/protobuf v1.36.12 // indirect
)

replace github.com/meet-middleware/meet-middleware/pkg => ../../pkg
