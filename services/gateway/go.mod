module github.com/meet-middleware/meet-middleware/services/gateway

go 1.26.0

require github.com/meet-middleware/meet-middleware/pkg v0.0.0

replace github.com/meet-middleware/meet-middleware/pkg => ../../pkg
