package bus_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/uuid"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/natstest"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

var clerk = bus.Principal{Name: "key:mm_live_abc", Role: "external", UserID: 12, Scopes: "meetings:read meetings:write", KeyID: "0190", Mode: "key"}

func TestAQueryBringsWhoAsksAndWhereFrom(t *testing.T) {
	s := natstest.New(t)
	b, meetings := start(t, s), start(t, s)
	asked := make(chan context.Context, 1)
	q, err := bus.ServeQueries(meetings, subject.ServiceMeetings, "1.0.0", 4, quiet())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = q.Stop(context.WithoutCancel(t.Context())) }() // its server ends with the test
	if err := bus.Answer(q, subject.CheckHealth, func(ctx context.Context, _ *meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
		asked <- ctx
		return &meetv1.CheckHealthResponse{}, nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := meetings.Conn().Flush(); err != nil {
		t.Fatal(err)
	}
	from := bus.Origin{RequestID: "r1", RemoteAddr: "192.0.2.7"}
	for _, c := range []struct {
		name   string
		who    bus.Principal
		origin bus.Origin
	}{{"a key", clerk, from}, {"nobody", bus.Principal{}, bus.Origin{}}, {"a part of the product", bus.Gateway, bus.Origin{RequestID: "r2"}}} {
		t.Run(c.name, func(t *testing.T) {
			ctx := bus.WithOrigin(bus.WithPrincipal(within(t, patience), c.who), c.origin)
			if _, err := bus.Ask(ctx, b, subject.CheckHealth, &meetv1.CheckHealthRequest{}); err != nil {
				t.Fatal(err)
			}
			got := <-asked
			if bus.PrincipalOf(got) != c.who || bus.OriginOf(got) != c.origin {
				t.Errorf("got %+v from %+v", bus.PrincipalOf(got), bus.OriginOf(got))
			}
		})
	}
	t.Run("headers that no row can hold are refused", func(t *testing.T) {
		ctx := bus.WithPrincipal(within(t, patience), bus.Principal{Name: strings.Repeat("x", 2000), Role: "admin"})
		if _, err := bus.Ask(ctx, b, subject.CheckHealth, &meetv1.CheckHealthRequest{}); fault.KindOf(err) != fault.Invalid {
			t.Errorf("answered %v", err)
		}
	})
}

func TestACommandBringsTheWholePrincipal(t *testing.T) {
	s := natstest.New(t)
	b, meetings := start(t, s), start(t, s)
	next := commands(t, meetings)
	c, err := bus.Start(b, subject.CancelMeeting, &meetv1.CancelMeetingRequest{Id: "1"}, bus.Envelope{CommandID: uuid.New(), Principal: clerk})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	e, err := bus.ParseEnvelope(next().Header)
	if err != nil || e.Principal != clerk {
		t.Errorf("got %+v, %v", e.Principal, err)
	}
}
