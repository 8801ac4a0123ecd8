package compat

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

const people = oneMeeting + "participants/"

func TestOnePersonIsInvitedAndTakenOff(t *testing.T) {
	s := newREST(t)
	asked := scriptUpdate(s)
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return aDetail(), nil })
	invited := someParticipants()[1]
	body := `{"email":"` + strings.ToUpper(invited.GetEmail()) + `"}`
	a := s.do("POST", people, body, "Idempotency-Key", "k", "If-Match", `"2"`).has("ETag", `"3"`)
	if a.status != 201 || !strings.Contains(a.body, invited.GetEmail()) || !strings.HasPrefix(a.header.Get("Location"), "/api/v1/participants/") {
		t.Errorf("%d %s %v", a.status, a.body, a.header)
	}
	want := &meetv1.UpdateMeetingRequest{Id: "12", Meeting: &meetv1.MeetingPatch{}, Etag: `"2"`, AddInvitedEmails: []string{strings.ToUpper(invited.GetEmail())}}
	if got := <-asked; !proto.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	s.do("POST", people, body, "Idempotency-Key", "k").is(201, a.body).has("Idempotency-Replayed", "true")

	s.do("DELETE", people+"7/", "", "If-Match", `"2"`).has("ETag", `"3"`)
	want = &meetv1.UpdateMeetingRequest{Id: "12", Meeting: &meetv1.MeetingPatch{}, Etag: `"2"`, RemoveParticipantIds: []int64{7}}
	if got := <-asked; !proto.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	s.do("DELETE", people+"x/", "").is(404, `{"detail":"No encontrado."}`)
}

func TestAnInvitationIsRefusedByField(t *testing.T) {
	s := newREST(t)
	for body, want := range map[string]string{
		`{}`:                        `{"email":["This field is required."]}`,
		`{"email":null}`:            `{"email":["This field may not be null."]}`,
		`{"email":"nobody"}`:        `{"email":["Enter a valid email address."]}`,
		`{"email":["a@b.example"]}`: `{"email":["Not a valid string."]}`,
		`{"email":"` + strings.Repeat("a", 250) + `@b.example"}`: `{"email":["Ensure this field has no more than 254 characters."]}`,
	} {
		s.do("POST", people, body, "Accept-Language", "en").is(400, want)
	}
	backendtest.Command(s.meetings, subject.UpdateMeeting, func(_ bus.Envelope, req *meetv1.UpdateMeetingRequest) updateAnswer {
		if len(req.GetRemoveParticipantIds()) > 0 {
			return updateAnswer{Err: fault.New(fault.Conflict, "ORGANIZER_STAYS", "stays")}
		}
		return updateAnswer{Err: fault.InvalidField("add_invited_emails", "COUNT", "too many")}
	})
	s.do("POST", people, `{"email":"a@b.example"}`, "Accept-Language", "en").is(400, `{"email":["A meeting has 1 to 200 guests."]}`)
	s.do("DELETE", people+"1/", "").is(400, `{"non_field_errors":["El organizador no se puede quitar de la reunión."]}`)
}

func TestAPushNoticeIsPassedOnWithTheHashOfItsToken(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.CalendarNoticedRequest, 4)
	backendtest.Command(s.meetings, subject.CalendarNoticed, func(_ bus.Envelope, req *meetv1.CalendarNoticedRequest) backendtest.Answer[*meetv1.CalendarNoticedResponse] {
		asked <- req
		if req.GetChannelId() != "c1" {
			return backendtest.Answer[*meetv1.CalendarNoticedResponse]{Err: fault.New(fault.NotFound, "CALENDAR_NOT_FOUND", "no such calendar")}
		}
		return backendtest.Answer[*meetv1.CalendarNoticedResponse]{Response: &meetv1.CalendarNoticedResponse{}}
	})
	if got := s.push("c1", "secret", "exists"); got != 204 {
		t.Errorf("a notice: %d", got)
	}
	// echo -n secret | sha256sum
	want := &meetv1.CalendarNoticedRequest{ChannelId: "c1", TokenHash: "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"}
	if got := <-asked; !proto.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	for name, c := range map[string]struct {
		channel, token, state string
		status                int
	}{
		"the beginning of a channel": {"c1", "secret", "sync", 204},
		"a stranger's channel":       {"c2", "secret", "exists", 404},
		"no channel":                 {"", "secret", "exists", 404},
		"no token":                   {"c1", "", "exists", 404},
		"no state":                   {"c1", "secret", "", 404},
		"a novel":                    {"c1", strings.Repeat("x", 257), "exists", 404},
	} {
		if got := s.push(c.channel, c.token, c.state); got != c.status {
			t.Errorf("%s: %d, want %d", name, got, c.status)
		}
	}
	if len(asked) != 1 {
		t.Errorf("%d commands, want the stranger's alone", len(asked))
	}
}

// push sends a notice; the document does not show its route.
func (s *rest) push(channel, token, state string) int {
	s.tb.Helper()
	r := httptest.NewRequestWithContext(auth.With(s.tb.Context(), bus.Principal{}), http.MethodPost, "/api/v1/google/calendar/", nil)
	for name, value := range map[string]string{"X-Goog-Channel-ID": channel, "X-Goog-Channel-Token": token, "X-Goog-Resource-State": state} {
		if value != "" {
			r.Header.Set(name, value)
		}
	}
	w := httptest.NewRecorder()
	s.api.ServeHTTP(w, r)
	return w.Code
}
