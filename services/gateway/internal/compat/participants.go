package compat

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// newGuest is the body of an invitation.
type newGuest struct{ address string }

func newGuestFields() []field[*newGuest] {
	f := email("email", "", "Becomes a guest.", func(g *newGuest) *string { return &g.address })
	inner, most := f.read, maxAddress
	f.required, f.schema.MaxLength = true, &most
	f.read = func(raw json.RawMessage, dst *newGuest) []fault.Field {
		faults := inner(raw, dst)
		if faults == nil && len(dst.address) > most {
			return bad(tooLong, "max", strconv.Itoa(most))
		}
		return faults
	}
	return []field[*newGuest]{f}
}

func (a *API) addParticipant(x *exchange) error {
	id, o, err := x.meetingAndBody()
	if err != nil {
		return err
	}
	guest := new(newGuest)
	if faults := read(o, newGuestFields(), guest); len(faults) > 0 {
		return fault.InvalidFields(faults...)
	}
	m, err := a.changeGuests(x, &meetv1.UpdateMeetingRequest{Id: id, AddInvitedEmails: []string{guest.address}})
	if err != nil {
		return err
	}
	now, err := backend.Ask(auth.Unscoped(x.r.Context()), a.backend, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: id})
	if err != nil {
		return err
	}
	for _, p := range now.GetParticipants() {
		if strings.EqualFold(p.GetEmail(), guest.address) {
			x.w.Header().Set("ETag", m.GetEtag())
			x.w.Header().Set("Location", base+"participants/"+strconv.FormatInt(p.GetId(), 10)+"/")
			x.write(http.StatusCreated, participantOfProto(p))
			return nil
		}
	}
	return refuse(http.StatusNotFound, notFound) // somebody has taken him off again
}

func (a *API) removeParticipant(x *exchange) error {
	id, err := x.meetingID()
	if err != nil {
		return err
	}
	participant, err := strconv.ParseInt(x.param("participant"), 10, 64)
	if err != nil || participant <= 0 {
		return refuse(http.StatusNotFound, notFound)
	}
	m, err := a.changeGuests(x, &meetv1.UpdateMeetingRequest{Id: id, RemoveParticipantIds: []int64{participant}})
	if err != nil {
		return err
	}
	x.changed(m)
	return nil
}

// changeGuests sends a change that is of guests alone.
func (a *API) changeGuests(x *exchange, req *meetv1.UpdateMeetingRequest) (*meetv1.Meeting, error) {
	req.Meeting = &meetv1.MeetingPatch{}
	m, err := x.update(req, req)
	if err != nil {
		return nil, renamed(err, emailNamed)
	}
	return m, nil
}

// emailNamed is what the body with one address calls a field of the change.
func emailNamed(path string) string {
	switch {
	case strings.HasPrefix(path, "add_invited_emails"):
		return "email"
	case path == "status": // of a meeting that is cancelled: no field of this body
		return ""
	}
	return path
}
