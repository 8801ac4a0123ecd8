package gateway_test

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/fx"
	"go.uber.org/fx/fxtest"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/timetest"
	"github.com/meet-middleware/meet-middleware/services/gateway"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

// beside runs one more gateway beside a scripted meetings service, and gives its address.
func beside(t *testing.T, m *backendtest.Meetings, environ ...string) string {
	t.Helper()
	var port *gateway.Port
	settings := load(t, append(environ, "MEET_AUTH=keys", "NATS_URL="+m.Server.ClientURL())...)
	app := fxtest.New(t, gateway.Program(settings), fx.NopLogger, fx.Populate(&port))
	app.RequireStart()
	t.Cleanup(app.RequireStop)
	return port.URL()
}

// door is a meetings service that knows one key.
type door struct {
	*backendtest.Meetings
	key     auth.Key
	asked   atomic.Int64
	revoked atomic.Bool
	denied  chan *meetv1.RefusedAttempt
}

func newDoor(t *testing.T) *door {
	t.Helper()
	d := &door{Meetings: backendtest.New(t), denied: make(chan *meetv1.RefusedAttempt, 1000)}
	var err error
	if d.key, err = auth.DrawKey("live"); err != nil {
		t.Fatal(err)
	}
	backendtest.Query(d.Meetings, subject.Authenticate, func(req *meetv1.AuthenticateRequest) (*meetv1.AuthenticateResponse, error) {
		d.asked.Add(1)
		switch {
		case req.GetKeyPrefix() != d.key.Prefix || req.GetKeyHash() != d.key.Hash:
			return nil, fault.New(fault.Unauthenticated, "KEY_UNKNOWN", "this key is not known")
		case d.revoked.Load():
			return nil, fault.New(fault.Unauthenticated, "KEY_REVOKED", "this key was revoked")
		}
		return &meetv1.AuthenticateResponse{Principal: "key:" + d.key.Prefix, Role: meetv1.UserRole_USER_ROLE_SERVICE, Mode: "live", KeyUid: "u"}, nil
	})
	backendtest.Query(d.Meetings, subject.ListMeetings, func(*meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error) {
		return &meetv1.ListMeetingsResponse{}, nil
	})
	backendtest.Command(d.Meetings, subject.OfferAdmin, func(bus.Envelope, *meetv1.OfferAdminRequest) backendtest.Answer[*meetv1.OfferAdminResponse] {
		return backendtest.Answer[*meetv1.OfferAdminResponse]{Response: &meetv1.OfferAdminResponse{}}
	})
	backendtest.Command(d.Meetings, subject.RecordAudit, func(_ bus.Envelope, req *meetv1.RecordAuditRequest) backendtest.Answer[*meetv1.RecordAuditResponse] {
		for _, a := range req.GetAttempts() {
			d.denied <- a
		}
		return backendtest.Answer[*meetv1.RecordAuditResponse]{Response: &meetv1.RecordAuditResponse{}}
	})
	return d
}

func (d *door) knock(t *testing.T, at string, more ...string) (*http.Response, string) {
	t.Helper()
	return send(t, http.MethodGet, at+"/api/v1/meetings/", "", append([]string{"Authorization", "Bearer " + d.key.Secret}, more...)...)
}

// refused knocks until at refuses the key, and tells when the last that was let in had knocked.
func (d *door) refused(t *testing.T, at string) (last time.Duration) {
	t.Helper()
	begun := time.Now()
	for {
		knocked := time.Since(begun)
		resp, body := d.knock(t, at)
		if resp.StatusCode == http.StatusUnauthorized {
			if !strings.Contains(body, "revocada") {
				t.Errorf("refused with %s", body)
			}
			return last
		}
		if last = knocked; last > 10*time.Second {
			t.Fatalf("%s still lets the key in after %s", at, last)
		}
		runtime.Gosched()
	}
}

func TestARevokedKeyIsRefusedByEveryGatewayWithinTwoSeconds(t *testing.T) {
	for name, told := range map[string]bool{"told": true, "the word of it is lost": false} {
		t.Run(name, func(t *testing.T) {
			timetest.Rounds(t, func(r *timetest.Round) {
				d := newDoor(r.T)
				gateways := []string{beside(r.T, d.Meetings), beside(r.T, d.Meetings)}
				for _, at := range gateways {
					if resp, body := d.knock(r.T, at); resp.StatusCode != http.StatusOK {
						r.Fatalf("%d %s", resp.StatusCode, body)
					}
				}
				d.revoked.Store(true)
				most := 2 * time.Second
				if told {
					if err := d.Bus.Conn().Publish(subject.AccessChanged, []byte("key:"+d.key.Prefix)); err != nil {
						r.Fatal(err)
					}
					if err := d.Bus.Conn().Flush(); err != nil {
						r.Fatal(err)
					}
					most = 500 * time.Millisecond // far less than an answer is remembered
				}
				for _, at := range gateways {
					if last := d.refused(r.T, at); last > most {
						r.Latef("%s let the key in after %s, want at most %s", at, last, most)
					}
				}
			})
		})
	}
}

func TestManyRequestsWithOneKeyAskOnce(t *testing.T) {
	d := newDoor(t)
	at := beside(t, d.Meetings)
	begun := time.Now()
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			for range 10 {
				if resp, body := d.knock(t, at); resp.StatusCode != http.StatusOK {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
			}
		})
	}
	all.Wait()
	if most := int64(time.Since(begun)/time.Second) + 1; d.asked.Load() > most {
		t.Errorf("asked %d times in %s", d.asked.Load(), time.Since(begun))
	}
	before := d.asked.Load()
	for _, wrong := range []string{"mm_live_7Kq2mXa9", d.key.Secret[:len(d.key.Secret)-1] + "!", strings.ToLower(d.key.Secret), "mm_live_" + strings.Repeat("a", 58)} {
		if resp, body := d.knock(t, at, "Authorization", "Bearer "+wrong); resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s: %d %s", wrong, resp.StatusCode, body)
		}
	}
	if d.asked.Load() != before {
		t.Error("a key that can't be one was asked for")
	}
}

func TestNobodyIsTurnedAwayBecauseMeetingsCannotBeReached(t *testing.T) {
	d := newDoor(t)
	at := beside(t, d.Meetings)
	m := backendtest.New(t) // another NATS, where nobody answers
	alone := beside(t, m)
	if resp, body := d.knock(t, alone); resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, body := d.knock(t, at); resp.StatusCode != http.StatusOK {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestRefusedAttemptsAreWrittenDownAlikeOnesOnce(t *testing.T) {
	d := newDoor(t)
	at := beside(t, d.Meetings)
	for range 20 {
		if resp, _ := send(t, http.MethodGet, at+"/api/v1/meetings/", ""); resp.StatusCode != http.StatusUnauthorized {
			t.Fatal(resp.StatusCode)
		}
	}
	d.revoked.Store(true)
	d.refused(t, at)
	if resp, _ := send(t, http.MethodGet, at+"/api/v1/audit/", "", "X-API-Key", d.key.Secret); resp.StatusCode != http.StatusUnauthorized {
		t.Error(resp.StatusCode)
	}
	counted, rows, known := int64(0), 0, false
	for counted < 20 || !known {
		select {
		case a := <-d.denied:
			if a.GetAt().AsTime().Before(time.Now().Add(-time.Minute)) || a.GetAt().AsTime().After(timestamppb.Now().AsTime()) {
				t.Errorf("at %s", a.GetAt().AsTime())
			}
			switch {
			case a.GetReason() == "UNAUTHENTICATED" && a.GetAction() == "GET /api/v1/meetings/" && a.GetRemoteAddr() != "" && a.GetRequestId() != "":
				counted += a.GetCount()
				rows++
			case a.GetReason() == "KEY_REVOKED" && a.GetPrincipal() == "key:"+d.key.Prefix:
				known = true
			default:
				t.Errorf("%v", a)
			}
			if strings.Contains(a.String(), d.key.Secret) {
				t.Errorf("the secret is in %v", a)
			}
		case <-time.After(10 * time.Second):
			t.Fatalf("%d of 20 in %d rows, the revoked key %v", counted, rows, known)
		}
	}
	if counted != 20 || rows > 3 {
		t.Errorf("%d attempts in %d rows", counted, rows)
	}
}

func TestCallersAreLimitedAndToldSo(t *testing.T) {
	d := newDoor(t)
	limits := []string{"MEET_RATE_LIMIT_PRINCIPAL=1", "MEET_RATE_LIMIT_PRINCIPAL_BURST=10", "MEET_RATE_LIMIT_ANONYMOUS=1", "MEET_RATE_LIMIT_ANONYMOUS_BURST=5"}
	gateways := []string{beside(t, d.Meetings, limits...), beside(t, d.Meetings, limits...)}
	count := func(shown string) (passed int) {
		for i := range 40 {
			resp, body := send(t, http.MethodGet, gateways[i%2]+"/api/v1/meetings/", "", "Authorization", "Bearer "+shown)
			if resp.StatusCode != http.StatusTooManyRequests {
				passed++
				continue
			}
			if resp.Header.Get("Retry-After") == "" || resp.Header.Get("RateLimit") == "" || resp.Header.Get("RateLimit-Policy") == "" || !strings.HasPrefix(body, `{"detail":`) {
				t.Errorf("%v %s", resp.Header, body)
			}
		}
		return passed
	}
	begun := time.Now()
	most := func(burst int) int { return burst + int(time.Since(begun)/time.Second) + 1 }
	if passed := count(d.key.Secret); passed < 10 || passed > most(10) {
		t.Errorf("%d of 40 passed both gateways, want 10", passed)
	}
	if passed := count("garbage"); passed < 5 || passed > most(5) {
		t.Errorf("%d of 40 wrong ones were looked at, want 5", passed)
	}
	resp, _ := send(t, http.MethodGet, gateways[0]+"/api/v1/health/", "")
	if resp.StatusCode == http.StatusTooManyRequests {
		t.Error("health is counted")
	}
}

func TestOpenModeIsRefusedWhereOthersReachIt(t *testing.T) {
	for _, c := range []struct {
		environ []string
		ok      bool
	}{
		{[]string{"MEET_AUTH=open", "MEET_ADDR=0.0.0.0:8000"}, false},
		{[]string{"MEET_AUTH=open", "MEET_ADDR=:8000"}, false},
		{[]string{"MEET_AUTH=open", "MEET_ADDR=10.0.0.7:8000"}, false},
		{[]string{"MEET_AUTH=open", "MEET_ADDR=0.0.0.0:8000", "DEBUG=True"}, true},
		{[]string{"MEET_AUTH=open", "MEET_ADDR=127.0.0.1:8000"}, true},
		{[]string{"MEET_ADDR=0.0.0.0:8000"}, true},
	} {
		_, err := config.Load[gateway.Settings](c.environ)
		if (err == nil) != c.ok {
			t.Errorf("%v: %v", c.environ, err)
		}
		if problems := config.Problems(err); !c.ok && (len(problems) != 1 || problems[0].Variable != "MEET_AUTH") {
			t.Errorf("%v: %v", c.environ, problems)
		}
	}
}

func TestAPageOfAnotherSiteChangesNothingInOpenMode(t *testing.T) {
	p := start(t, "CORS_ALLOWED_ORIGINS=https://app.example")
	for origin, want := range map[string]int{"https://evil.example": http.StatusForbidden, "https://app.example": http.StatusNotFound} {
		resp, body := send(t, http.MethodPost, p.api+"/api/v1/nothing/", "", "Origin", origin, "Sec-Fetch-Site", "cross-site")
		if resp.StatusCode != want {
			t.Errorf("%s: %d %s", origin, resp.StatusCode, body)
		}
	}
}
