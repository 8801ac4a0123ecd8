// Package rpc is meet.v1 for programs: Connect, gRPC and gRPC-Web on one handler, with reflection and gRPC health. It checks
// shapes, hands requests to the backend and turns faults into error details; it decides nothing about meetings.
package rpc

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"

	"buf.build/go/protovalidate"
	"connectrpc.com/connect"
	"connectrpc.com/grpchealth"
	"connectrpc.com/grpcreflect"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

const (
	// maxMessage bounds one message in bytes, as the body limit of every other surface does.
	maxMessage = 1 << 20
	// compressFrom is where compressing begins to save a packet.
	compressFrom = 1400
)

// Handler serves every RPC.
type Handler struct {
	mux        *http.ServeMux
	procedures []string
	actions    map[string]string
	errors     *connect.ErrorWriter
	log        *slog.Logger
}

// New makes the handler. ready is asked by gRPC health; its error means NOT_SERVING.
func New(b *backend.Backend, ready func(context.Context) error, log *slog.Logger) (*Handler, error) {
	var procedures []string
	var requests []protoreflect.MessageDescriptor
	actions := map[string]string{}
	for _, method := range methods() {
		procedure := "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
		procedures = append(procedures, procedure)
		actions[procedure] = actionOf(procedure)
		requests = append(requests, method.Input())
	}
	// Rules are compiled now, not at each message's first call.
	validator, err := protovalidate.New(protovalidate.WithMessageDescriptors(requests...))
	if err != nil {
		return nil, fmt.Errorf("compile the rules of meet.v1: %w", err)
	}
	options := []connect.HandlerOption{
		connect.WithRecover(func(ctx context.Context, spec connect.Spec, _ http.Header, p any) error {
			log.ErrorContext(ctx, "call panicked", "procedure", spec.Procedure, "panic", p, "stack", string(debug.Stack()))
			return connectError(fault.New(fault.Internal, fault.ReasonInternal, "internal error"))
		}),
		connect.WithInterceptors(faults{log}, permission{actions}, validation{validator}),
		connect.WithReadMaxBytes(maxMessage),
		connect.WithCompressMinBytes(compressFrom),
	}
	h := &Handler{mux: http.NewServeMux(), procedures: procedures, actions: actions, errors: connect.NewErrorWriter(), log: log}
	h.mux.Handle(meetv1connect.NewMeetingServiceHandler(&meetings{b}, options...))
	h.mux.Handle(meetv1connect.NewUserServiceHandler(&users{b}, options...))
	h.mux.Handle(meetv1connect.NewRecordingServiceHandler(&recordings{b}, options...))
	h.mux.Handle(meetv1connect.NewJobServiceHandler(&jobs{b}, options...))
	h.mux.Handle(meetv1connect.NewSetupServiceHandler(&setup{b}, options...))
	h.mux.Handle(meetv1connect.NewAccessServiceHandler(&keys{b}, options...))
	h.mux.Handle(meetv1connect.NewAuditServiceHandler(&auditLog{b}, options...))
	h.mux.Handle(meetv1connect.NewPrivacyServiceHandler(&privacy{b}, options...))
	services := []string{
		meetv1connect.MeetingServiceName, meetv1connect.RecordingServiceName, meetv1connect.JobServiceName, meetv1connect.UserServiceName, meetv1connect.SetupServiceName,
		meetv1connect.AccessServiceName, meetv1connect.AuditServiceName, meetv1connect.PrivacyServiceName,
	}
	reflector := grpcreflect.NewStaticReflector(append(services, grpchealth.HealthV1ServiceName)...)
	h.mux.Handle(grpcreflect.NewHandlerV1(reflector, connect.WithReadMaxBytes(maxMessage)))
	h.mux.Handle(grpcreflect.NewHandlerV1Alpha(reflector, connect.WithReadMaxBytes(maxMessage)))
	h.mux.Handle(grpchealth.NewHandler(health{ready, services}, connect.WithReadMaxBytes(maxMessage)))
	return h, nil
}

// ServeHTTP answers one call.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) { h.mux.ServeHTTP(w, r) }

// Procedures are the paths of meet.v1, for whoever counts calls by name.
func (h *Handler) Procedures() []string { return h.procedures }

// Actions are what pkg/access calls each of them, by its path.
func (h *Handler) Actions() map[string]string { return h.actions }

// Owns tells whether a path is an RPC's, known or not: no other surface has paths of that form.
func Owns(path string) bool {
	return strings.HasPrefix(path, "/meet.v1.") || strings.HasPrefix(path, "/grpc.")
}

// health answers grpc.health.v1: this process serves while it can reach NATS.
type health struct {
	ready    func(context.Context) error
	services []string
}

func (h health) Check(ctx context.Context, req *grpchealth.CheckRequest) (*grpchealth.CheckResponse, error) {
	known := req.Service == ""
	for _, service := range h.services {
		known = known || req.Service == service
	}
	if !known {
		return nil, connect.NewError(connect.CodeNotFound, fmt.Errorf("unknown service %q", req.Service))
	}
	if err := h.ready(ctx); err != nil {
		return &grpchealth.CheckResponse{Status: grpchealth.StatusNotServing}, nil //nolint:nilerr // the status says it; the text is the operator's, at /readyz
	}
	return &grpchealth.CheckResponse{Status: grpchealth.StatusServing}, nil
}
