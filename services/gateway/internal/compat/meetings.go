package compat

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"buf.build/go/protovalidate"
	"github.com/danielgtaylor/huma/v2"
	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// createFields is the body of a create.
func (a *API) createFields() []field[*meetv1.CreateMeetingRequest] {
	type req = *meetv1.CreateMeetingRequest
	return []field[req]{
		email("organizer_email", "organizer_email", "Becomes a user when the address is new.", func(r req) *string { return &r.OrganizerEmail }),
		emails("invited_emails", "invited_emails", "The guests, unique without regard to case. The organizer may be one of them and counts once.",
			func(r req) *[]string { return &r.InvitedEmails }),
		when("scheduled_start", "scheduled_start", "A time without zone is UTC. Absent or null: Google gets now + 1 h.",
			func(r req, t *timestamppb.Timestamp) { r.ScheduledStart = t }),
		when("scheduled_end", "scheduled_end", "After the start. Absent or null: Google gets start + 1 h.",
			func(r req, t *timestamppb.Timestamp) { r.ScheduledEnd = t }),
		text("external_reference", "external_reference", "The caller's own name for the meeting; not unique.", func(r req) *string { return &r.ExternalReference }),
		yesNo("auto_record", "Absent: MEET_AUTO_RECORD_DEFAULT.", func(r req, v bool) { r.AutoRecord = &v }),
		yesNo("create_calendar_event", "False makes a bare Meet space. Absent: true.", func(r req, v bool) { r.CreateCalendarEvent = &v }),
		yesNo("public_access", "A guest outside the organisation joins without asking. Absent: true.", func(r req, v bool) { r.PublicAccess = &v }),
		text("summary", "summary", "Title of the calendar event.", func(r req) *string { return &r.Summary }),
		text("description", "description", "Text of the calendar event.", func(r req) *string { return &r.Description }),
		a.timeZone(),
		yesNo("guests_can_see_each_other", "Absent: false.", func(r req, v bool) { r.GuestsCanSeeEachOther = &v }),
		{
			name: "recurrence", doc: "Not supported yet.", schema: huma.Schema{Type: huma.TypeArray, Items: stringSchema(""), Nullable: true},
			read: func(raw json.RawMessage, _ req) []fault.Field {
				if isNull(raw) {
					return nil
				}
				return bad(noRecurrence)
			},
		},
	}
}

// timeZone is the field with an IANA name; a blank one is as good as none.
func (a *API) timeZone() field[*meetv1.CreateMeetingRequest] {
	f := text("time_zone", "time_zone", "IANA name. Absent: MEET_TIME_ZONE.", func(r *meetv1.CreateMeetingRequest) *string { return &r.TimeZone })
	inner := f.read
	f.read = func(raw json.RawMessage, dst *meetv1.CreateMeetingRequest) []fault.Field {
		if faults := inner(raw, dst); faults != nil {
			return faults
		}
		if dst.GetTimeZone() != "" && !a.zone(dst.GetTimeZone()) {
			return bad(unknownTimeZone)
		}
		return nil
	}
	return f
}

// readCreate turns a body into the command, every default filled in.
func (a *API) readCreate(o object) (*meetv1.CreateMeetingRequest, error) {
	req := new(meetv1.CreateMeetingRequest)
	if err := a.creates.fill(o, req); err != nil {
		return nil, err
	}
	orElse := func(at **bool, otherwise bool) {
		if *at == nil {
			*at = &otherwise
		}
	}
	orElse(&req.AutoRecord, a.config.AutoRecordDefault)
	orElse(&req.CreateCalendarEvent, true)
	orElse(&req.PublicAccess, true)
	orElse(&req.GuestsCanSeeEachOther, false)
	if req.TimeZone == "" {
		req.TimeZone = a.config.TimeZone
	}
	return req, nil
}

func (a *API) createMeeting(x *exchange) error {
	o, err := x.body()
	if err != nil {
		return err
	}
	req, err := a.readCreate(o)
	if err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	async := x.prefersAsync()
	created, err := a.backend.CreateMeeting(x.r.Context(), caller, async, req)
	x.replayed(created.Replayed) // a refusal may be a repeat as well
	if err != nil {
		return err
	}
	m := created.Meeting
	header := x.w.Header()
	header.Set("ETag", m.GetEtag())
	switch m.GetProvisioning() {
	case meetv1.Provisioning_PROVISIONING_FAILED:
		header.Set("Location", meetingPath(m.GetId()))
		x.write(http.StatusBadGateway, x.refusedByGoogle(m))
	case meetv1.Provisioning_PROVISIONING_PENDING:
		if async {
			header.Set("Preference-Applied", "respond-async")
		}
		x.pending(m, created.Operation)
	case meetv1.Provisioning_PROVISIONING_READY, meetv1.Provisioning_PROVISIONING_UNSPECIFIED:
		header.Set("Location", meetingPath(m.GetId()))
		x.write(http.StatusCreated, meetingOfProto(m))
	}
	return nil
}

// pending answers while Google has not made the link; Location says where to follow it.
func (x *exchange) pending(m *meetv1.Meeting, operation string) {
	status, _ := statusName(m.GetStatus())
	x.w.Header().Set("Location", base+"operations/"+operation+"/")
	x.write(http.StatusAccepted, PendingMeeting{
		ID: m.GetId(), Status: status, Provisioning: provisioningName(m.GetProvisioning()), Operation: operation,
	})
}

// refusedByGoogle says what a person can do about a link that will not come.
func (x *exchange) refusedByGoogle(m *meetv1.Meeting) refusedBody {
	id := m.GetId()
	body := refusedBody{Error: x.refusalText(m.GetError().GetCode(), m.GetError().GetMessage()), Code: m.GetError().GetCode(), MeetingID: &id}
	if body.Error == "" {
		body.Error = x.say(refusedForGood)
	}
	if body.Code == "" {
		body.Code = string(refusedForGood)
	}
	return body
}

func meetingPath(id int64) string { return base + "meetings/" + strconv.FormatInt(id, 10) + "/" }

// meetingID is the number or uid in the path; what can name no meeting is not found.
func (x *exchange) meetingID() (string, error) {
	id := x.param("id")
	if n, err := strconv.ParseInt(id, 10, 64); err == nil && n > 0 {
		return strconv.FormatInt(n, 10), nil
	}
	if uid, ok := canonicalUUID(id); ok {
		return uid, nil
	}
	return "", refuse(http.StatusNotFound, notFound)
}

// meetingAndBody is the meeting in the path and the request's object.
func (x *exchange) meetingAndBody() (id string, o object, err error) {
	if id, err = x.meetingID(); err != nil {
		return "", nil, err
	}
	o, err = x.body()
	return id, o, err
}

// canonicalUUID takes the usual form alone, in any case.
func canonicalUUID(s string) (string, bool) {
	id, err := uuid.Parse(s)
	return id.String(), err == nil && len(s) == len(uuid.UUID{}.String())
}

// meeting reads the one in the path.
func (a *API) meeting(x *exchange) (*meetv1.Meeting, error) {
	id, err := x.meetingID()
	if err != nil {
		return nil, err
	}
	return backend.Ask(x.r.Context(), a.backend, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: id})
}

func (a *API) getMeeting(x *exchange) error {
	m, err := a.meeting(x)
	if err != nil {
		return err
	}
	x.w.Header().Set("ETag", m.GetEtag())
	if x.notModified(m.GetEtag()) {
		x.w.Header().Set("Cache-Control", private) // a 304 repeats it (RFC 9110 §15.4.5)
		x.w.WriteHeader(http.StatusNotModified)
		return nil
	}
	x.write(http.StatusOK, x.meetingDetail(m))
	return nil
}

func (a *API) listMeetings(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := readListQuery(f)
	if err := f.err(); err != nil {
		return err
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListMeetings, req)
	if err != nil {
		return err
	}
	x.next(resp.GetNextPageToken())
	x.write(http.StatusOK, each(resp.GetMeetings(), summaryOfProto))
	return nil
}

// The filters of the list that clients name; the rest is in readListQuery.
const (
	maxReference = 255
	maxAddress   = 254
	maxID        = 1<<63 - 1
)

func readListQuery(f *filters) *meetv1.ListMeetingsRequest {
	req := &meetv1.ListMeetingsRequest{
		OrganizerId:        f.number("organizer", maxID),
		Status:             oneOf(f, "status", statusesByName),
		ScheduledStartFrom: f.when("scheduled_start__gte"),
		ScheduledStartTo:   f.when("scheduled_start__lte"),
		ExternalReference:  f.text("external_reference", maxReference),
		InvitedEmail:       f.text("invited_email", maxAddress),
		RecordingState:     oneOf(f, "recording_state", recordingStates),
		PageSize:           f.page(meetingsPage),
		PageToken:          f.token(),
	}
	if req.InvitedEmail != "" && !isEmail(req.InvitedEmail) {
		f.fail("invited_email", invalidEmail)
	}
	return req
}

// patch is a change as the body asks for it. The list of guests as a whole becomes additions and removals only when the
// meeting is known.
type patch struct {
	*meetv1.UpdateMeetingRequest
	guests []string // the whole list wanted; nil: not asked for
}

// patchValidator applies the rules of the request inside a patch.
type patchValidator struct{ protovalidate.Validator }

// Validate shows the rules the list of guests as additions, so that its length and its addresses are held to the same ones.
func (v patchValidator) Validate(message proto.Message, options ...protovalidate.ValidationOption) error {
	if p, ok := message.(*patch); ok {
		req := p.UpdateMeetingRequest
		if p.guests != nil {
			req = proto.CloneOf(req)
			req.AddInvitedEmails = p.guests
		}
		message = req
	}
	return v.Validator.Validate(message, options...)
}

func (a *API) patchFields() []field[*patch] {
	touch := func(p *patch, path string) {
		p.UpdateMask.Paths = append(p.UpdateMask.Paths, path)
	}
	guests := field[*patch]{
		name: "invited_emails", target: "add_invited_emails",
		doc: "The whole list of guests; or an object with addresses to `add` and to `remove`, which no other change can cross.",
		schema: huma.Schema{OneOf: []*huma.Schema{
			{Type: huma.TypeArray, Items: stringSchema("email")},
			{Type: huma.TypeObject, Properties: map[string]*huma.Schema{
				"add":    {Type: huma.TypeArray, Items: stringSchema("email")},
				"remove": {Type: huma.TypeArray, Items: stringSchema("email")},
			}},
		}},
		read: readGuests,
	}
	title := text("summary", "meeting.summary", "Title of the calendar event.", func(p *patch) *string { return &p.Meeting.Summary })
	body := text("description", "meeting.description", "Text of the calendar event.", func(p *patch) *string { return &p.Meeting.Description })
	return []field[*patch]{
		choice("status", "`CANCELLED` is the same as DELETE; nothing leads out of it.", statusesByName, []string{"CREATED", "SCHEDULED", "FINISHED", "CANCELLED"},
			func(p *patch, s meetv1.MeetingStatus) { p.Meeting.Status = s; touch(p, "status") }),
		when("scheduled_start", "meeting.scheduled_start", "Moves the Google event; the link stays.",
			func(p *patch, t *timestamppb.Timestamp) { p.Meeting.ScheduledStart = t; touch(p, "scheduled_start") }),
		when("scheduled_end", "meeting.scheduled_end", "After the start.",
			func(p *patch, t *timestamppb.Timestamp) { p.Meeting.ScheduledEnd = t; touch(p, "scheduled_end") }),
		touching(title, touch), touching(body, touch),
		guests,
	}
}

// touching names the field in the mask once it is read.
func touching(f field[*patch], touch func(*patch, string)) field[*patch] {
	inner := f.read
	f.read = func(raw json.RawMessage, dst *patch) []fault.Field {
		faults := inner(raw, dst)
		if faults == nil {
			touch(dst, f.name)
		}
		return faults
	}
	return f
}

func readGuests(raw json.RawMessage, p *patch) []fault.Field {
	if typeName(raw) != "dict" {
		guests, faults := readEmails(raw)
		if faults == nil {
			p.guests = guests
			if duplicate(guests) {
				return bad(duplicateEmails)
			}
		}
		return faults
	}
	var changes object
	if err := json.Unmarshal(raw, &changes); err != nil {
		return bad(notAnObject, "type", typeName(raw))
	}
	var faults []fault.Field
	for _, list := range []struct {
		name string
		into *[]string
	}{{"add", &p.AddInvitedEmails}, {"remove", &p.RemoveInvitedEmails}} {
		items, there := changes[list.name]
		if !there || string(items) == "[]" {
			continue
		}
		addresses, failed := readEmails(items)
		*list.into = addresses
		for _, f := range failed {
			f.Path = joinPath(list.name, f.Path)
			faults = append(faults, f)
		}
	}
	return faults
}

func duplicate(addresses []string) bool {
	seen := make(map[string]struct{}, len(addresses))
	for _, address := range addresses {
		key := strings.ToLower(address)
		if _, there := seen[key]; there {
			return true
		}
		seen[key] = struct{}{}
	}
	return false
}

// readPatch turns a body into a change.
func (a *API) readPatch(id string, o object) (*patch, error) {
	p := &patch{UpdateMeetingRequest: &meetv1.UpdateMeetingRequest{Id: id, Meeting: &meetv1.MeetingPatch{}, UpdateMask: &fieldmaskpb.FieldMask{}}}
	if err := a.changes.fill(o, p); err != nil {
		return nil, err
	}
	return p, nil
}

func (a *API) updateMeeting(x *exchange) error {
	id, o, err := x.meetingAndBody()
	if err != nil {
		return err
	}
	p, err := a.readPatch(id, o)
	if err != nil {
		return err
	}
	// A repeat is one of the same body: the whole list of guests may mean other additions and removals by then.
	req, asked := p.UpdateMeetingRequest, p.UpdateMeetingRequest
	if p.guests != nil {
		asked = proto.CloneOf(req)
		asked.AddInvitedEmails = p.guests
		if err := a.diffGuests(x, req, p.guests); err != nil {
			return err
		}
	}
	m, err := x.update(req, asked)
	if err != nil {
		return renamed(err, func(path string) string { return strings.TrimPrefix(path, "add_") })
	}
	x.changed(m)
	return nil
}

// update sends a change. asked is what the body said: under one key a repeat may come with another If-Match.
func (x *exchange) update(req, asked *meetv1.UpdateMeetingRequest) (*meetv1.Meeting, error) {
	caller, err := x.caller()
	if err != nil {
		return nil, err
	}
	if caller.BodyHash, err = backend.HashBody(asked); err != nil {
		return nil, err
	}
	req.Etag = x.ifMatch()
	outcome, err := command(x, subject.UpdateMeeting, caller, req)
	return outcome.Response.GetMeeting(), err
}

// renamed gives the fields of a fault the names that the body has for them.
func renamed(err error, name func(path string) string) error {
	f := fault.Of(err)
	if len(f.Fields) == 0 {
		return err
	}
	other := *f
	other.Fields = slices.Clone(f.Fields)
	for i := range other.Fields {
		other.Fields[i].Path = name(other.Fields[i].Path)
	}
	return &other
}

// changed answers with a meeting as it is after a change.
func (x *exchange) changed(m *meetv1.Meeting) {
	x.w.Header().Set("ETag", m.GetEtag())
	x.write(http.StatusOK, meetingOfProto(m))
}

// diffGuests makes the list of guests what is wanted.
func (a *API) diffGuests(x *exchange, req *meetv1.UpdateMeetingRequest, wanted []string) error {
	m, err := backend.Ask(auth.Unscoped(x.r.Context()), a.backend, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: req.GetId()})
	if err != nil {
		return err
	}
	without := func(list, others []string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(address string) bool {
			return slices.ContainsFunc(others, func(other string) bool { return strings.EqualFold(other, address) })
		})
	}
	req.AddInvitedEmails, req.RemoveInvitedEmails = without(wanted, m.GetInvitedEmails()), without(m.GetInvitedEmails(), wanted)
	return nil
}

// ifMatch is the precondition as it came; meetings compares it under the row's lock.
func (x *exchange) ifMatch() string {
	const most = 512 // as long as the command takes; longer ones name nothing of ours
	v := strings.Join(x.r.Header["If-Match"], ", ")
	if len(v) > most {
		return `"too long"`
	}
	return v
}

func (a *API) deleteMeeting(x *exchange) error {
	id, err := x.meetingID()
	if err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	req := &meetv1.CancelMeetingRequest{Id: id}
	if caller.BodyHash, err = backend.HashBody(req); err != nil { // a repeat may come with another If-Match
		return err
	}
	req.Etag = x.ifMatch()
	outcome, err := command(x, subject.CancelMeeting, caller, req)
	if err != nil {
		return err
	}
	m := outcome.Response.GetMeeting()
	status, _ := statusName(m.GetStatus())
	x.w.Header().Set("ETag", m.GetEtag())
	x.write(http.StatusOK, CancelledMeeting{Message: x.say(saidCancelled), MeetingID: m.GetId(), Status: status})
	return nil
}

func (a *API) provisionMeeting(x *exchange) error {
	id, err := x.meetingID()
	if err != nil {
		return err
	}
	if _, err := x.body(); err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := command(x, subject.ProvisionMeeting, caller, &meetv1.ProvisionMeetingRequest{Id: id})
	if err != nil {
		return err
	}
	m := outcome.Response.GetMeeting()
	if m.GetProvisioning() == meetv1.Provisioning_PROVISIONING_PENDING {
		x.w.Header().Set("ETag", m.GetEtag())
		x.pending(m, outcome.Response.GetOperation())
		return nil
	}
	x.changed(m) // there is nothing to try again
	return nil
}

func (a *API) meetingParticipants(x *exchange) error {
	m, err := a.meeting(x)
	if err != nil {
		return err
	}
	x.write(http.StatusOK, each(m.GetParticipants(), participantOfProto))
	return nil
}

func (a *API) meetingEvents(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	size := f.page(meetingsPage)
	after := int64(0)
	if token := f.token(); token != "" {
		if after, err = strconv.ParseInt(token, 10, 64); err != nil || after < 0 {
			f.fail("page_token", badPageToken)
		}
	}
	if err := f.err(); err != nil {
		return err
	}
	m, err := a.meeting(x)
	if err != nil {
		return err
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListEvents, &meetv1.ListEventsRequest{MeetingId: m.GetId(), AfterSequence: after, PageSize: size})
	if err != nil {
		return err
	}
	if next := resp.GetNextAfterSequence(); next != 0 {
		x.next(strconv.FormatInt(next, 10))
	}
	x.write(http.StatusOK, each(resp.GetEvents(), func(e *meetv1.LoggedEvent) Event {
		return Event{ID: e.GetId(), Sequence: e.GetSequence(), Type: e.GetType(), Subject: e.GetSubject(), Time: timeText(e.GetTime()), Data: rawDocument(e.GetDataJson())}
	}))
	return nil
}

func (a *API) getOperation(x *exchange) error {
	id, ok := canonicalUUID(x.param("id"))
	if !ok {
		return refuse(http.StatusNotFound, notFound)
	}
	op, err := backend.Ask(x.r.Context(), a.backend, subject.GetOperation, &meetv1.GetOperationRequest{Id: id})
	if err != nil {
		return err
	}
	status, _ := statusName(op.GetStatus())
	if !op.GetDone() {
		x.w.Header().Set("Retry-After", retryInFlight)
	}
	x.write(http.StatusOK, Operation{ID: op.GetId(), Done: op.GetDone(), MeetingID: op.GetMeetingId(), Status: status, Error: x.failure(op.GetError())})
	return nil
}
