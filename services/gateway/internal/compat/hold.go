package compat

import (
	"net/http"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
)

func holdFields() []field[*meetv1.SetLegalHoldRequest] {
	reason := filled("reason", "reason", "Why, for whoever asks later.", func(r *meetv1.SetLegalHoldRequest) *string { return &r.Reason })
	reason.required = true // to set one; the request without it ends one
	return []field[*meetv1.SetLegalHoldRequest]{reason}
}

func (a *API) holdRoutes() {
	const path = base + "meetings/{id}/legal_hold/"
	changed := []answer{{status: http.StatusOK, doc: "The meeting as it is now.", schema: schemaOf[Meeting](a), headers: []string{"ETag", "Idempotency-Replayed"}}}
	a.add(route{
		id: "setLegalHold", method: http.MethodPost, path: path, tag: tagMeetings, summary: "Keep what belongs to a meeting beyond any retention",
		body: bodySchema(a, "SetLegalHold", a.holds.fields), answers: changed, refusals: []int{http.StatusForbidden}, serve: a.setHold,
	})
	a.add(route{
		id: "endLegalHold", method: http.MethodDelete, path: path, tag: tagMeetings, summary: "End a legal hold",
		description: "Retention counts again from the meeting, as if there had been no hold. Without a hold: the same answer.",
		answers:     changed, refusals: []int{http.StatusForbidden}, serve: a.endHold,
	})
}

func (a *API) setHold(x *exchange) error {
	id, o, err := x.meetingAndBody()
	if err != nil {
		return err
	}
	req := &meetv1.SetLegalHoldRequest{MeetingId: id, Hold: true}
	if err := a.holds.fill(o, req); err != nil {
		return err
	}
	return x.hold(req)
}

func (a *API) endHold(x *exchange) error {
	id, err := x.meetingID()
	if err != nil {
		return err
	}
	return x.hold(&meetv1.SetLegalHoldRequest{MeetingId: id})
}

func (x *exchange) hold(req *meetv1.SetLegalHoldRequest) error {
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := command(x, subject.SetLegalHold, caller, req)
	if err != nil {
		return err
	}
	x.changed(outcome.Response.GetMeeting())
	return nil
}
