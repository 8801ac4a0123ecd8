package nats

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/passhash"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

const (
	// sideBySide bounds the queries answered at once.
	sideBySide = 64
	// The most rows of a page, and how many when the caller did not say.
	maxPage     = 1000
	meetingPage = 100
)

// Queries answers reads.
type Queries struct {
	reads   app.Reads
	planner *app.Planner
	metrics *Metrics
	hasher  *passhash.Hasher

	counting app.Counting
	now      clock.Clock
	access   *AccessQueries
	refusals *Refusals
}

// NewQueries makes the answerer.
func NewQueries(reads app.Reads, planner *app.Planner, metrics *Metrics) *Queries {
	return &Queries{reads: reads, planner: planner, metrics: metrics, hasher: passhash.NewHasher()}
}

// Count sets what coverage is counted by and the clock of what is said of a moment; before Serve.
func (q *Queries) Count(c app.Counting, now clock.Clock) *Queries {
	q.counting, q.now = c, now
	return q
}

// Access adds the queries about who may do what, and where those that are turned away are written down; before Serve.
func (q *Queries) Access(a *AccessQueries, r *Refusals) *Queries {
	q.access, q.refusals = a, r
	return q
}

// turnedAway writes down a query that its asker may not ask.
func (q *Queries) turnedAway(ctx context.Context, method string, err error) {
	var f *fault.Fault
	if q.refusals == nil || !errors.As(err, &f) || f.Kind != fault.Forbidden && f.Kind != fault.Unauthenticated {
		return
	}
	e := asked(ctx, method, q.refusals.now())
	e.Outcome, e.Reason, e.SubjectKind = audit.Denied, f.Reason, audit.Request
	q.refusals.Add(e)
}

// Serve answers until the returned service is stopped.
func (q *Queries) Serve(ctx context.Context, b *bus.Bus, version string, log *slog.Logger) (*bus.Queries, error) {
	s, err := bus.ServeQueries(b, subject.ServiceMeetings, version, sideBySide, log)
	if err != nil {
		return nil, err
	}
	var more error
	if q.access != nil {
		more = q.access.serve(q, s)
	}
	return s, errors.Join(
		more,
		answer(q, s, subject.GetMeeting, q.getMeeting),
		answer(q, s, subject.LookupMeeting, q.lookupMeeting),
		answer(q, s, subject.ListMeetings, q.listMeetings),
		answer(q, s, subject.ListParticipants, q.listParticipants),
		answer(q, s, subject.GetParticipant, q.getParticipant),
		answer(q, s, subject.ListEvents, q.listEvents),
		answer(q, s, subject.GetOperation, q.getOperation),
		answer(q, s, subject.GetUser, q.getUser),
		answer(q, s, subject.ListUsers, q.listUsers),
		answer(q, s, subject.GetUserStats, q.getUserStats),
		answer(q, s, subject.VerifyPassword, q.verifyPassword),
		answer(q, s, subject.CheckHealth, q.checkHealth),
		answer(q, s, subject.GetMeetingWish, q.getMeetingWish),
		answer(q, s, subject.GetConferencePlan, q.getConferencePlan),
		q.serveRecords(s),
		b.Subscribed(ctx), // who starts next may ask at once
	)
}

// answer registers a handler that is measured.
func answer[Req, Resp proto.Message](q *Queries, s *bus.Queries, query subject.Query[Req, Resp], handle func(context.Context, Req) (Resp, error)) error {
	return bus.Answer(s, query, func(ctx context.Context, req Req) (Resp, error) {
		began := time.Now()
		err := permit(ctx, q.reads, query.Method(), req)
		if err != nil {
			var none Resp
			q.turnedAway(ctx, query.Method(), err)
			q.metrics.query(query.Method(), err, time.Since(began))
			return none, err
		}
		resp, err := handle(ctx, req)
		q.metrics.query(query.Method(), err, time.Since(began))
		return resp, err
	})
}

func (q *Queries) getMeeting(ctx context.Context, req *meetv1.GetMeetingRequest) (*meetv1.Meeting, error) {
	ref, err := meeting.ParseRef(req.GetId())
	if err != nil {
		return nil, err
	}
	d, err := q.reads.MeetingDetail(ctx, ref)
	if err != nil {
		return nil, err
	}
	return encodeDetail(d), nil
}

func (q *Queries) lookupMeeting(ctx context.Context, req *meetv1.LookupMeetingRequest) (*meetv1.Meeting, error) {
	var by app.Lookup
	switch r := req.GetBy().(type) {
	case *meetv1.LookupMeetingRequest_ExternalReference:
		by.ExternalReference = r.ExternalReference
	case *meetv1.LookupMeetingRequest_GoogleEventId:
		by.GoogleEventID = r.GoogleEventId
	case *meetv1.LookupMeetingRequest_MeetingCode:
		by.MeetingCode = strings.ToLower(r.MeetingCode) // Meet does not tell cases apart
	case *meetv1.LookupMeetingRequest_MeetLink:
		by.MeetingCode = meeting.CodeOf(r.MeetLink)
	}
	by.Owner = req.GetOrganizerId()
	if by == (app.Lookup{Owner: by.Owner}) {
		return nil, meeting.ErrNotFound
	}
	d, err := q.reads.LookupMeeting(ctx, by)
	if err != nil {
		return nil, err
	}
	return encodeDetail(d), nil
}

func encodeDetail(d *app.MeetingDetail) *meetv1.Meeting {
	m := encodeMeeting(d.Meeting)
	m.Organizer = encodeUser(d.Organizer)
	m.Participants = make([]*meetv1.Participant, 0, len(d.Participants))
	for i := range d.Participants {
		m.Participants = append(m.Participants, encodeParticipant(&d.Participants[i]))
	}
	if d.Recording != nil {
		m.Recording = encodeRecording(d.Recording)
	}
	return m
}

func encodeParticipant(p *app.Participant) *meetv1.Participant {
	role := meetv1.ParticipantRole_PARTICIPANT_ROLE_GUEST
	if p.Organizer {
		role = meetv1.ParticipantRole_PARTICIPANT_ROLE_ORGANIZER
	}
	return &meetv1.Participant{
		Id: p.ID, MeetingId: int64(p.MeetingID), Email: p.Email, Role: role, ResponseStatus: p.ResponseStatus,
		JoinedAt: stamp(p.JoinedAt), LeftAt: stamp(p.LeftAt), CreatedAt: stamp(p.CreatedAt),
	}
}

// page reads a size and a token; a token is opaque to clients and names the last row of the page before.
func page(size, byDefault int32, token string) (app.Page, error) {
	if size < 0 || size > maxPage {
		return app.Page{}, fault.InvalidField("page_size", "RANGE", "must be from 1 to 1000")
	}
	if size == 0 {
		size = byDefault
	}
	p := app.Page{Limit: int(size)}
	if token == "" {
		return p, nil
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		after, isOurs := strings.CutPrefix(string(text), "after:")
		p.After, err = strconv.ParseInt(after, 10, 64)
		if !isOurs || p.After <= 0 {
			err = strconv.ErrSyntax
		}
	}
	if err != nil {
		return app.Page{}, fault.InvalidField("page_token", "TOKEN", "is not a token of this list; begin without one")
	}
	return p, nil
}

func token(after int64) string {
	return base64.RawURLEncoding.EncodeToString([]byte("after:" + strconv.FormatInt(after, 10)))
}

// cut takes the row that was read beyond the page, which tells that there is a next one.
func cut[Row any](rows []Row, limit int, id func(*Row) int64) ([]Row, string) {
	if len(rows) <= limit {
		return rows, ""
	}
	rows = rows[:limit]
	return rows, token(id(&rows[limit-1]))
}

func (q *Queries) listMeetings(ctx context.Context, req *meetv1.ListMeetingsRequest) (*meetv1.ListMeetingsResponse, error) {
	p, err := page(req.GetPageSize(), meetingPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	for path, t := range map[string]*timestamppb.Timestamp{"scheduled_start_from": req.GetScheduledStartFrom(), "scheduled_start_to": req.GetScheduledStartTo()} {
		if t != nil && !t.IsValid() {
			return nil, fault.InvalidField(path, "RANGE", "must be between the years 1 and 9999")
		}
	}
	f := app.MeetingFilter{
		Page: app.Page{After: p.After, Limit: p.Limit + 1}, OrganizerID: req.GetOrganizerId(), Status: in(statusOut, req.GetStatus()),
		StartFrom: moment(req.GetScheduledStartFrom()), StartTo: moment(req.GetScheduledStartTo()), ExternalReference: req.GetExternalReference(),
		InvitedEmail: req.GetInvitedEmail(), Recording: in(recordingOut, req.GetRecordingState()),
	}
	rows, err := q.reads.ListMeetings(ctx, f)
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListMeetingsResponse)
	rows, resp.NextPageToken = cut(rows, p.Limit, func(r *app.MeetingRow) int64 { return int64(r.ID) })
	resp.Meetings = make([]*meetv1.MeetingSummary, 0, len(rows))
	for i := range rows {
		r := &rows[i]
		resp.Meetings = append(resp.Meetings, &meetv1.MeetingSummary{
			Id: int64(r.ID), Uid: r.UID, GoogleEventId: r.GoogleEventID, MeetLink: r.MeetLink, OrganizerName: r.OrganizerName,
			ScheduledStart: stamp(r.Start), Status: statusOut[r.Status], CreatedAt: stamp(r.CreatedAt),
		})
	}
	return resp, nil
}

func (q *Queries) listParticipants(ctx context.Context, req *meetv1.ListParticipantsRequest) (*meetv1.ListParticipantsResponse, error) {
	p, err := page(req.GetPageSize(), maxPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	rows, err := q.reads.ListParticipants(ctx, meeting.ID(req.GetMeetingId()), app.Page{After: p.After, Limit: p.Limit + 1, Owner: req.GetOrganizerId()})
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListParticipantsResponse)
	rows, resp.NextPageToken = cut(rows, p.Limit, func(r *app.Participant) int64 { return r.ID })
	for i := range rows {
		resp.Participants = append(resp.Participants, encodeParticipant(&rows[i]))
	}
	return resp, nil
}

func (q *Queries) getParticipant(ctx context.Context, req *meetv1.GetParticipantRequest) (*meetv1.Participant, error) {
	p, err := q.reads.Participant(ctx, req.GetId())
	if err != nil {
		return nil, err
	}
	return encodeParticipant(p), nil
}

func (q *Queries) listEvents(ctx context.Context, req *meetv1.ListEventsRequest) (*meetv1.ListEventsResponse, error) {
	p, err := page(req.GetPageSize(), meetingPage, "")
	if err != nil {
		return nil, err
	}
	rows, err := q.reads.ListEvents(ctx, meeting.ID(req.GetMeetingId()), app.Page{After: req.GetAfterSequence(), Limit: p.Limit + 1, Owner: req.GetOrganizerId()})
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListEventsResponse)
	if len(rows) > p.Limit {
		rows = rows[:p.Limit]
		resp.NextAfterSequence = rows[p.Limit-1].Seq
	}
	for i := range rows {
		e := &rows[i]
		resp.Events = append(resp.Events, &meetv1.LoggedEvent{
			Id: e.ID.String(), Sequence: e.Seq, Type: e.Type, Subject: e.Subject, Time: stamp(e.OccurredAt), DataJson: e.Body, MeetingId: int64(e.MeetingID),
		})
	}
	return resp, nil
}

func (q *Queries) getOperation(ctx context.Context, req *meetv1.GetOperationRequest) (*meetv1.Operation, error) {
	id, err := uuid.Parse(req.GetId())
	if err != nil {
		return nil, fault.New(fault.NotFound, "OPERATION_NOT_FOUND", "no such operation; they are kept for 24 hours")
	}
	op, err := q.reads.Operation(ctx, id)
	if err != nil {
		return nil, err
	}
	out := &meetv1.Operation{
		Id: op.ID, Done: op.Provisioning != meeting.Pending, MeetingId: int64(op.MeetingID), Status: statusOut[op.Status], Provisioning: provisioningOut[op.Provisioning],
	}
	if op.Provisioning == meeting.Failed {
		out.Error = encodeFailure(op.Failure)
	}
	return out, nil
}

func (q *Queries) getUser(ctx context.Context, req *meetv1.GetUserRequest) (*meetv1.User, error) {
	u, err := q.reads.User(ctx, account.ID(req.GetId()), req.GetIncludeInactive())
	if err != nil {
		return nil, err
	}
	return encodeUser(u), nil
}

func (q *Queries) listUsers(ctx context.Context, req *meetv1.ListUsersRequest) (*meetv1.ListUsersResponse, error) {
	p, err := page(req.GetPageSize(), maxPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	rows, err := q.reads.ListUsers(ctx, app.UserFilter{
		Page: app.Page{After: p.After, Limit: p.Limit + 1}, Role: in(roleOut, req.GetRole()), EmailPart: req.GetEmailContains(),
		UsernamePart: req.GetUsernameContains(), Inactive: req.GetIncludeInactive(), ID: req.GetId(),
	})
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListUsersResponse)
	rows, resp.NextPageToken = cut(rows, p.Limit, func(r *account.User) int64 { return int64(r.ID) })
	for i := range rows {
		resp.Users = append(resp.Users, encodeUser(&rows[i]))
	}
	return resp, nil
}

func (q *Queries) getUserStats(ctx context.Context, _ *meetv1.GetUserStatsRequest) (*meetv1.UserStats, error) {
	s, err := q.reads.UserStats(ctx)
	if err != nil {
		return nil, err
	}
	return &meetv1.UserStats{
		TotalUsers: s.Total, ActiveUsers: s.Active, InactiveUsers: s.Total - s.Active, Admins: s.Admins, Services: s.Services, Externals: s.Externals,
	}, nil
}

func (q *Queries) verifyPassword(ctx context.Context, req *meetv1.VerifyPasswordRequest) (*meetv1.VerifyPasswordResponse, error) {
	u, err := q.reads.User(ctx, account.ID(req.GetUserId()), true)
	if err != nil {
		return nil, err
	}
	if u.PasswordHash == "" {
		return &meetv1.VerifyPasswordResponse{}, nil
	}
	ok, err := q.hasher.Matches(ctx, req.GetPassword(), u.PasswordHash)
	if err != nil {
		return nil, err
	}
	return &meetv1.VerifyPasswordResponse{Ok: ok}, nil
}

func (q *Queries) checkHealth(ctx context.Context, _ *meetv1.CheckHealthRequest) (*meetv1.CheckHealthResponse, error) {
	return &meetv1.CheckHealthResponse{Database: q.reads.Ping(ctx) == nil}, nil
}

func (q *Queries) getMeetingWish(ctx context.Context, req *meetv1.GetMeetingWishRequest) (*meetv1.GetMeetingWishResponse, error) {
	found, err := q.reads.Wishes(ctx, []meeting.ID{meeting.ID(req.GetMeetingId())})
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, meeting.ErrNotFound
	}
	return &meetv1.GetMeetingWishResponse{Wish: encodeWish(found[0]), Dispatch: found[0].Job.Dispatch}, nil
}
