package compat

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
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
	id, err := x.meetingID()
	if err != nil {
		return err
	}
	o, err := x.body()
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
	now, err := backend.Ask(x.r.Context(), a.backend, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: id})
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

// changeGuests sends a change that is of guests alone. A repeat under the same key may come with another If-Match.
func (a *API) changeGuests(x *exchange, req *meetv1.UpdateMeetingRequest) (*meetv1.Meeting, error) {
	req.Meeting = &meetv1.MeetingPatch{}
	caller, err := x.caller()
	if err != nil {
		return nil, err
	}
	if caller.BodyHash, err = backend.HashBody(req); err != nil {
		return nil, err
	}
	req.Etag = x.ifMatch()
	outcome, err := command(x, subject.UpdateMeeting, caller, req)
	if err != nil {
		return nil, emailNamed(err)
	}
	return outcome.Response.GetMeeting(), nil
}

// emailNamed gives a fault of the additions the name that the body has for the one address.
func emailNamed(err error) error {
	f := fault.Of(err)
	if len(f.Fields) == 0 {
		return err
	}
	renamed := *f
	renamed.Fields = append([]fault.Field(nil), f.Fields...)
	for i := range renamed.Fields {
		switch {
		case strings.HasPrefix(renamed.Fields[i].Path, "add_invited_emails"):
			renamed.Fields[i].Path = "email"
		case renamed.Fields[i].Path == "status": // of a meeting that is cancelled: no field of this body
			renamed.Fields[i].Path = ""
		}
	}
	return &renamed
}
