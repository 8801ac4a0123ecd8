// Package nats is the meetings service's side of the bus: it takes commands from MEET_COMMANDS in batches, answers queries,
// and relays events and due jobs from their rows to the streams. It decides nothing; the use cases do.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/calendar"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

const (
	// maxBatch is how many commands share one transaction at most.
	maxBatch = 128
	// prefetch is how many commands wait in this process at most; each already runs its AckWait.
	prefetch = 2 * maxBatch
	// soloAfter: a command seen this often runs alone, so that it harms no other.
	soloAfter = 4
	// retryCommand is when a command comes again that could not be carried out.
	retryCommand = 250 * time.Millisecond
	// buryWait bounds the copying of a dead letter.
	buryWait = 5 * time.Second
)

// Commands carries out what MEET_COMMANDS holds.
type Commands struct {
	bus       *bus.Bus
	processor *app.Processor
	metrics   *Metrics
	log       *slog.Logger
	queue     chan jetstream.Msg
}

// NewCommands makes the consumer; Run runs it.
func NewCommands(b *bus.Bus, p *app.Processor, metrics *Metrics, log *slog.Logger) *Commands {
	return &Commands{bus: b, processor: p, metrics: metrics, log: log, queue: make(chan jetstream.Msg, prefetch)}
}

// received is a command with the message it came in.
type received struct {
	app.Command
	msg       jetstream.Msg
	delivered uint64
	span      trace.Span // nil where nothing is traced
}

// Run consumes until ctx ends; what is in hand is then carried out to its end.
func (c *Commands) Run(ctx context.Context) error {
	working := make(chan struct{})
	go func() {
		defer close(working)
		c.work(context.WithoutCancel(ctx)) // a batch in hand is finished: its commit and its replies belong together
	}()
	err := c.bus.Consume(ctx, subject.StreamCommands, subject.CommandConsumer(), prefetch, func(msg jetstream.Msg) { c.queue <- msg })
	close(c.queue)
	<-working
	return err
}

// work takes what is waiting and carries it out, one batch after the other.
func (c *Commands) work(ctx context.Context) {
	for first := range c.queue {
		batch := []jetstream.Msg{first}
	drain:
		for len(batch) < maxBatch {
			select {
			case msg, open := <-c.queue:
				if !open {
					break drain
				}
				batch = append(batch, msg)
			default:
				break drain
			}
		}
		c.carryOut(ctx, batch)
	}
}

// carryOut decodes a batch and has it carried out; a command that keeps coming back runs alone.
func (c *Commands) carryOut(ctx context.Context, msgs []jetstream.Msg) {
	together := make([]*received, 0, len(msgs))
	var alone []*received
	for _, msg := range msgs {
		r, err := decodeCommand(msg)
		if err != nil {
			if envelope, unread := bus.ParseEnvelope(msg.Headers()); unread == nil { // another release's body: its caller need not wait
				c.refuse(ctx, envelope.Reply, fault.New(fault.Invalid, fault.ReasonInvalid, "the command's body can't be read"))
			}
			c.bury(ctx, msg, err)
			continue
		}
		if r.delivered >= soloAfter {
			alone = append(alone, r)
			continue
		}
		together = append(together, r)
	}
	if len(together) > 0 {
		c.process(ctx, together)
	}
	for _, r := range alone {
		c.process(ctx, []*received{r})
	}
}

func (c *Commands) process(ctx context.Context, batch []*received) {
	commands := make([]*app.Command, 0, len(batch))
	for _, r := range batch {
		commands = append(commands, &r.Command)
	}
	transaction, committed := c.begin(ctx, batch)
	began := time.Now()
	effects := c.processor.Process(transaction, commands)
	committed()
	c.metrics.batch(batch, time.Since(began))
	for _, job := range effects.Jobs { // without waiting for the stream's word: one that is lost is found by the relay
		msg, span := sendJob(c.bus, jobMessage(job), job.Traceparent)
		c.publish(ctx, msg)
		span.End()
	}
	failpoint.Here("meetings.jobs_published")
	for _, done := range effects.Done {
		c.publish(ctx, &nats.Msg{Subject: subject.Done(done.Operation), Data: done.Body})
		if done.ReplyInbox != "" {
			c.publish(ctx, &nats.Msg{Subject: done.ReplyInbox, Data: done.Body})
		}
	}
	failpoint.Here("meetings.done_published")
	for _, r := range batch {
		for _, who := range r.Changed { // before the answer: whoever has it may rely on it soon
			c.publish(ctx, &nats.Msg{Subject: subject.AccessChanged, Data: []byte(who)})
		}
		c.answer(ctx, r)
	}
	failpoint.Here("meetings.replied")
	for _, r := range batch {
		c.settle(ctx, r)
		r.end()
	}
	failpoint.Here("meetings.settled")
	c.publish(ctx, &nats.Msg{Subject: subject.RelayWake})
}

// publish sends a message that nobody acknowledges; what it tells can be asked for.
func (c *Commands) publish(ctx context.Context, msg *nats.Msg) {
	if err := c.bus.Conn().PublishMsg(msg); err != nil {
		c.log.WarnContext(ctx, "message was not sent", "subject", msg.Subject, "error", err)
	}
}

// answer replies to a command that is committed or refused.
func (c *Commands) answer(ctx context.Context, r *received) {
	if r.Err != nil || r.ReplyInbox == "" {
		return
	}
	body := r.Reply
	if r.Replayed {
		var reply meetv1.CommandReply
		if err := proto.Unmarshal(r.Reply, &reply); err != nil {
			c.log.ErrorContext(r.in(ctx), "stored reply does not decode", "command_id", r.ID, "error", err)
			return
		}
		reply.Replayed = true
		var err error
		if body, err = proto.Marshal(&reply); err != nil {
			c.log.ErrorContext(r.in(ctx), "stored reply does not encode", "command_id", r.ID, "error", err)
			return
		}
	}
	c.publish(ctx, &nats.Msg{Subject: r.ReplyInbox, Data: body})
}

// settle acknowledges what is committed and hands back the rest. A command that no repeat heals is a dead letter; its caller is
// told that the fault is ours.
func (c *Commands) settle(ctx context.Context, r *received) {
	if r.Err == nil {
		if err := r.msg.Ack(); err != nil {
			c.log.WarnContext(r.in(ctx), "command was not acknowledged; its repeat will be answered", "command_id", r.ID, "error", err)
		}
		return
	}
	var broken *app.BrokenError
	if errors.As(r.Err, &broken) {
		ctx = r.in(ctx)
		c.refuse(ctx, r.ReplyInbox, fault.Of(r.Err))
		c.bury(ctx, r.msg, r.Err)
		return
	}
	ctx = r.in(ctx)
	c.log.ErrorContext(ctx, "command could not be carried out; it comes again", "command_id", r.ID, "kind", r.Kind, "delivered", r.delivered, "error", r.Err)
	if err := r.msg.NakWithDelay(retryCommand); err != nil {
		c.log.WarnContext(ctx, "command was not handed back", "command_id", r.ID, "error", err)
	}
}

// refuse answers a command that has no row.
func (c *Commands) refuse(ctx context.Context, inbox string, f *fault.Fault) {
	body, err := proto.Marshal(&meetv1.CommandReply{Fault: bus.EncodeFault(f)})
	if err != nil {
		c.log.ErrorContext(ctx, "refusal does not encode", "error", err)
		return
	}
	if inbox != "" {
		c.publish(ctx, &nats.Msg{Subject: inbox, Data: body})
	}
}

func (c *Commands) bury(ctx context.Context, msg jetstream.Msg, reason error) {
	c.log.ErrorContext(ctx, "command is a dead letter", "subject", msg.Subject(), "reason", reason)
	ctx, cancel := context.WithTimeout(ctx, buryWait)
	defer cancel()
	if err := c.bus.Bury(ctx, msg, subject.Dead(subject.StreamCommands, msg.Subject()), reason.Error()); err != nil {
		c.log.WarnContext(ctx, "dead letter was not kept; it comes again", "error", err)
	}
}

// decodeCommand turns a message into a command. Its error is permanent.
func decodeCommand(msg jetstream.Msg) (*received, error) {
	envelope, err := bus.ParseEnvelope(msg.Headers())
	if err != nil {
		return nil, err
	}
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("message metadata: %w", err)
	}
	do, kind, outcome, err := decodeUseCase(msg.Subject(), msg.Data())
	if err != nil {
		return nil, err
	}
	return &received{
		Command: app.Command{
			ID: envelope.CommandID, Kind: kind, BodyHash: envelope.BodyHash, Deadline: envelope.Deadline, Principal: envelope.Principal.Name,
			RequestID: envelope.RequestID, RemoteAddr: envelope.RemoteAddr, Traceparent: envelope.Traceparent, ReplyInbox: envelope.Reply,
			Outcome: outcome, Do: do, Actor: actor(envelope.Principal),
		},
		msg: msg, delivered: meta.NumDelivered,
	}, nil
}

// decodeUseCase turns a subject and a body into what is to be done. A body whose values are wrong decodes: it is then refused
// by a rule and answered; an error here is a body that no client of ours sends.
func decodeUseCase(subj string, body []byte) (do app.UseCase, kind string, outcome bool, err error) {
	switch subj {
	case string(subject.CreateMeeting):
		req := new(meetv1.CreateMeetingRequest)
		err = decode(body, req)
		return createMeeting(req), "meeting.create", false, err
	case string(subject.UpdateMeeting):
		req := new(meetv1.UpdateMeetingRequest)
		err = decode(body, req)
		return updateMeeting(req), "meeting.update", false, err
	case string(subject.CancelMeeting):
		req := new(meetv1.CancelMeetingRequest)
		err = decode(body, req)
		return orRefuse(req.GetId(), func(ref meeting.Ref) app.UseCase { return &app.CancelMeeting{Ref: ref, Etag: req.GetEtag()} }), "meeting.cancel", false, err
	case string(subject.ProvisionMeeting):
		req := new(meetv1.ProvisionMeetingRequest)
		err = decode(body, req)
		return orRefuse(req.GetId(), func(ref meeting.Ref) app.UseCase { return &app.ProvisionMeeting{Ref: ref} }), "meeting.provision", false, err
	case string(subject.MeetingSynced):
		req := new(meetv1.MeetingSyncedRequest)
		err = decode(body, req)
		return syncOutcome(req), "meeting.synced", true, err
	case string(subject.CalendarFollowed):
		req := new(meetv1.CalendarFollowedRequest)
		err = decode(body, req)
		return calendarFollowed(req), "calendar.followed", true, err
	case string(subject.CalendarNoticed):
		req := new(meetv1.CalendarNoticedRequest)
		err = decode(body, req)
		return &app.CalendarNoticed{Channel: req.GetChannelId(), TokenHash: req.GetTokenHash()}, "calendar.noticed", true, err
	case string(subject.ConferenceObserved):
		req := new(meetv1.ConferenceObservedRequest)
		err = decode(body, req)
		return conferenceObserved(req), "conference.observed", true, err
	case string(subject.ConferenceNoticed):
		req := new(meetv1.ConferenceNoticedRequest)
		err = decode(body, req)
		return conferenceNoticed(req), "conference.noticed", true, err
	case string(subject.CreateUser):
		req := new(meetv1.CreateUserRequest)
		err = decode(body, req)
		return createUser(req), "user.create", false, err
	case string(subject.UpdateUser):
		req := new(meetv1.UpdateUserRequest)
		err = decode(body, req)
		return updateUser(req), "user.update", false, err
	}
	if do, kind, outcome, ok, err := decodeExportUse(subj, body); ok {
		return do, kind, outcome, err
	}
	do, err = decodeAccess(subj, body)
	return do, access.ActionOf(subj), false, err
}

func decode(body []byte, into proto.Message) error {
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(body, into); err != nil {
		return fmt.Errorf("body is not a %s: %w", into.ProtoReflect().Descriptor().FullName(), err)
	}
	return nil
}

// refuse is a use case that a rule of the wire has decided already; its answer is kept like any other.
type refuse struct{ err error }

func (refuse) Needs(*app.Needs) {}

func (r refuse) Apply(*app.Unit, *app.Command) (app.Result, error) { return app.Result{}, r.err }

func orRefuse(id string, use func(meeting.Ref) app.UseCase) app.UseCase {
	ref, err := meeting.ParseRef(id)
	if err != nil {
		return refuse{err}
	}
	return use(ref)
}

func createMeeting(req *meetv1.CreateMeetingRequest) app.UseCase {
	return &app.CreateMeeting{Spec: meeting.Spec{
		OrganizerEmail: req.GetOrganizerEmail(), Guests: req.GetInvitedEmails(), Start: moment(req.GetScheduledStart()), End: moment(req.GetScheduledEnd()),
		ExternalReference: req.GetExternalReference(), Summary: req.GetSummary(), Description: req.GetDescription(), TimeZone: req.GetTimeZone(),
		AutoRecord: req.AutoRecord == nil || req.GetAutoRecord(), CreateCalendarEvent: req.CreateCalendarEvent == nil || req.GetCreateCalendarEvent(),
		PublicAccess: req.PublicAccess == nil || req.GetPublicAccess(), GuestsCanSeeEachOther: req.GetGuestsCanSeeEachOther(),
	}}
}

func updateMeeting(req *meetv1.UpdateMeetingRequest) app.UseCase {
	return orRefuse(req.GetId(), func(ref meeting.Ref) app.UseCase {
		patch := meeting.Patch{AddGuests: req.GetAddInvitedEmails(), RemoveGuests: req.GetRemoveInvitedEmails(), RemovePeople: req.GetRemoveParticipantIds()}
		body := req.GetMeeting()
		for _, path := range req.GetUpdateMask().GetPaths() {
			switch path {
			case "status":
				status := in(statusOut, body.GetStatus())
				if status == 0 {
					return refuse{fault.InvalidField("status", "ENUM", "must be CREATED, SCHEDULED, FINISHED or CANCELLED")}
				}
				patch.Status = &status
			case "scheduled_start":
				patch.Start = new(moment(body.GetScheduledStart()))
			case "scheduled_end":
				patch.End = new(moment(body.GetScheduledEnd()))
			case "summary":
				patch.Summary = new(body.GetSummary())
			case "description":
				patch.Description = new(body.GetDescription())
			default:
				return refuse{fault.InvalidField("update_mask", "PATH", "names a field that can't be changed: "+path)}
			}
		}
		return &app.UpdateMeeting{Ref: ref, Etag: req.GetEtag(), Patch: patch}
	})
}

func syncOutcome(req *meetv1.MeetingSyncedRequest) app.UseCase {
	outcome := meeting.Outcome{Dispatch: req.GetDispatch(), Version: req.GetVersion(), Generation: req.GetGeneration(), Complete: req.GetComplete()}
	if g := req.GetGoogle(); g != nil {
		outcome.Google = &meeting.GoogleCopy{
			CalendarID: g.GetCalendarId(), EventID: g.GetEventId(), EventEtag: g.GetEventEtag(), MeetLink: g.GetMeetLink(), MeetingCode: g.GetMeetingCode(),
			Space: g.GetSpace(), Simulated: g.GetSimulated(), EventVersion: g.GetEventVersion(), SettingsVersion: g.GetSettingsVersion(),
			AutoRecording: g.GetAutoRecording(), AccessType: g.GetAccessType(), EventDigest: g.GetEventDigest(), Deleted: g.GetDeleted(),
			Account: g.GetAccount(), EventUpdated: moment(g.GetEventUpdated()), EventShown: g.GetEventShown(),
		}
	}
	outcome.Failure = outcomeFailure(req.GetFailure())
	return &app.SyncOutcome{MeetingID: meeting.ID(req.GetMeetingId()), Outcome: outcome}
}

func outcomeFailure(f *meetv1.SyncFailure) *meeting.OutcomeFailure {
	if f == nil {
		return nil
	}
	return &meeting.OutcomeFailure{Permanent: f.GetPermanent(), Code: f.GetCode(), Message: f.GetMessage(), RetryAt: moment(f.GetRetryAt()), Deferred: f.GetDeferred()}
}

func calendarFollowed(req *meetv1.CalendarFollowedRequest) app.UseCase {
	c := &app.CalendarFollowed{
		Calendar: calendar.ID(req.GetCalendar()), Partial: req.GetPartial(),
		Reading: calendar.Reading{Dispatch: req.GetDispatch(), SyncToken: req.GetSyncToken(), Full: req.GetFull(), Failure: outcomeFailure(req.GetFailure())},
	}
	if ch := req.GetChannel(); ch != nil {
		c.Reading.Channel = calendar.Channel{ID: ch.GetId(), Resource: ch.GetResourceId(), TokenHash: ch.GetTokenHash(), ExpiresAt: moment(ch.GetExpiresAt())}
	}
	for _, e := range req.GetEvents() {
		s := meeting.Snapshot{
			EventID: e.GetEventId(), MeetingUID: e.GetMeetingUid(), Etag: e.GetEtag(), Updated: moment(e.GetUpdated()), Cancelled: e.GetCancelled(),
			Summary: e.GetSummary(), Description: e.GetDescription(), Start: moment(e.GetStart()), End: moment(e.GetEnd()), Shown: e.GetShown(),
		}
		for _, g := range e.GetGuests() {
			s.Guests = append(s.Guests, meeting.Answer{Email: g.GetEmail(), Response: g.GetResponse()})
		}
		c.Snapshots = append(c.Snapshots, s)
	}
	return c
}

func createUser(req *meetv1.CreateUserRequest) app.UseCase {
	role := in(roleOut, req.GetRole())
	if role == 0 {
		role = account.External
	}
	return &app.CreateUser{
		Username: req.GetUsername(), Email: req.GetEmail(), FirstName: req.GetFirstName(), LastName: req.GetLastName(),
		PasswordHash: req.GetPasswordHash(), Role: role,
	}
}

func updateUser(req *meetv1.UpdateUserRequest) app.UseCase {
	var patch account.Patch
	body := req.GetUser()
	for _, path := range req.GetUpdateMask().GetPaths() {
		switch path {
		case "email":
			patch.Email = new(body.GetEmail())
		case "first_name":
			patch.FirstName = new(body.GetFirstName())
		case "last_name":
			patch.LastName = new(body.GetLastName())
		case "role":
			role := in(roleOut, body.GetRole())
			if role == 0 {
				return refuse{fault.InvalidField("role", "ENUM", "must be admin, service or external")}
			}
			patch.Role = &role
		case "is_active":
			patch.Active = new(body.GetIsActive())
		case "password_hash":
			patch.PasswordHash = new(body.GetPasswordHash())
		default:
			return refuse{fault.InvalidField("update_mask", "PATH", "names a field that can't be changed: "+path)}
		}
	}
	return &app.UpdateUser{ID: account.ID(req.GetId()), Patch: patch}
}

// jobMessage renders a dispatch; its id is the same however often that dispatch is sent.
func jobMessage(job app.Dispatch) *nats.Msg {
	return &nats.Msg{
		Subject: string(subject.SyncMeeting), Data: job.Body,
		Header: nats.Header{"Nats-Msg-Id": []string{dispatchID(job.JobID, job.Dispatch)}, "Content-Type": []string{"application/json"}},
	}
}
