package compat

import (
	"net/http"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// PersonRecord is one row of what is kept of a person.
type PersonRecord struct {
	Kind string      `json:"kind" doc:"user, organized_meeting, participant, attendee, transcript_entry, key, session, command or audit."`
	Data rawDocument `json:"data"`
}

// Erased is what became of a person.
type Erased struct {
	Pseudonym string           `json:"pseudonym" doc:"What stands where the address was."`
	Rows      map[string]int64 `json:"rows" doc:"Rows changed or deleted, by kind."`
}

func personFields() []field[*meetv1.ErasePersonRequest] {
	return []field[*meetv1.ErasePersonRequest]{
		email("email", "email", "The person's address.", func(r *meetv1.ErasePersonRequest) *string { return &r.Email }),
		text("reason", "reason", "Why, such as the number of the request; kept as a digest.", func(r *meetv1.ErasePersonRequest) *string { return &r.Reason }),
	}
}

func (a *API) privacyRoutes() {
	body := bodySchema(a, "Person", a.erasures.fields)
	a.add(route{
		id: "exportPerson", method: http.MethodPost, path: base + "privacy/export/", tag: tagPrivacy, summary: "Read all that is kept of a person",
		description: "One JSON object a line. That it was read is written to the audit log. A POST, so that no address stands in a log of addresses.",
		body:        body, answers: []answer{{status: http.StatusOK, doc: "All of it.", schema: schemaOf[PersonRecord](a), media: jsonLines}}, serve: a.exportPerson,
	})
	a.add(route{
		id: "erasePerson", method: http.MethodPost, path: base + "privacy/erase/", tag: tagPrivacy, summary: "Replace a person by a pseudonym, for good",
		description: "Everywhere, meetings and what was recorded of them stay. Refused while a meeting of his is ahead, under legal hold or under way.",
		body:        body, answers: []answer{{status: http.StatusOK, doc: "It is done.", schema: schemaOf[Erased](a), headers: []string{"Idempotency-Replayed"}}}, serve: a.erasePerson,
	})
}

func (a *API) person(x *exchange) (*meetv1.ErasePersonRequest, error) {
	o, err := x.body()
	if err != nil {
		return nil, err
	}
	req := new(meetv1.ErasePersonRequest)
	return req, a.erasures.fill(o, req)
}

func (a *API) exportPerson(x *exchange) error {
	asked, err := a.person(x)
	if err != nil {
		return err
	}
	req := &meetv1.ExportPersonRequest{Email: asked.GetEmail()}
	x.w.Header().Set("Cache-Control", "no-store")
	return lines(x, func() ([]*meetv1.PersonRecord, bool, error) {
		resp, err := backend.Ask(x.r.Context(), a.backend, subject.ExportPerson, req)
		req.PageToken = resp.GetNextPageToken()
		return resp.GetRecords(), req.GetPageToken() != "", err
	}, func(r *meetv1.PersonRecord) PersonRecord {
		return PersonRecord{Kind: r.GetKind(), Data: rawDocument(r.GetJson())}
	})
}

func (a *API) erasePerson(x *exchange) error {
	req, err := a.person(x)
	if err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := command(x, subject.ErasePerson, caller, req)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusOK, Erased{Pseudonym: outcome.Response.GetPseudonym(), Rows: outcome.Response.GetRows()})
	return nil
}
