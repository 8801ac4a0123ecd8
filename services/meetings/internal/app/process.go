// Package app holds the use cases of the meetings service: one file for each command, and the processor that carries out a
// batch of them in one transaction. It declares what it needs of the store and of the wire; it knows neither.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/conference"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/task"
)

// Command is one request to change something, as it came, and what became of it.
type Command struct {
	ID       uuid.UUID
	Kind     string
	BodyHash string
	// Deadline: later than that it is refused. Zero: none.
	Deadline                         time.Time
	Principal, RequestID, RemoteAddr string
	Traceparent                      string
	ReplyInbox                       string
	// Outcome: it needs no row of its own, because the job's state makes it act once.
	Outcome bool
	Do      UseCase
	// Actor is who Principal is; Kind is what the table of pkg/access calls it.
	Actor Actor

	// Reply is the answer once the command is committed; nil while Err is set.
	Reply []byte
	// Replayed: it had been carried out before.
	Replayed bool
	// Refusal is the answer where a rule refused it.
	Refusal *fault.Fault
	// Err is why it could not be carried out now; it is to be delivered again, unless it is a [BrokenError].
	Err error
	// Changed are principals that may do something else than before once it is committed.
	Changed []string

	refs  []meeting.Ref // what it asked for, for the audit log
	users []account.ID
}

// UseCase is what a command does. Both methods are called in the order of arrival.
type UseCase interface {
	// Needs adds what must be loaded.
	Needs(*Needs)
	// Apply works on the loaded set. A [fault.Fault] refuses the command and is its answer; then nothing was changed.
	Apply(*Unit, *Command) (Result, error)
}

// Result is what a use case came to.
type Result struct {
	Meeting *meeting.Meeting
	User    *account.User
	// Operation names what the caller can follow; empty where nothing is under way.
	Operation string
	Facts     []meeting.Event
	UserFacts []UserFact
	// ChoreFacts are about many rows.
	ChoreFacts []ChoreFact
	// Job is the id of the row that the command made; Chore is how a periodic job went.
	Job   string
	Chore *ChoreEnd
	// OwnerFacts are facts about accounts that own spaces.
	OwnerFacts []conference.SubscriptionChanged
	// Done tells that the operation that waited for the meeting's link is over.
	Done bool
	// Answer is what commands about credentials and persons came to.
	Answer any
	// Change is for the audit log, where it is about neither Meeting nor User.
	Change *Change
	// Silent: it wrote its own audit entries.
	Silent bool
}

// UserFact is a fact about a user.
type UserFact struct {
	User *account.User
	// Created, or the Fields that were changed.
	Created bool
	Fields  []string
}

// Codec turns results and facts into what travels.
type Codec interface {
	// Reply renders the answer: the result, or the fault when err is not nil.
	Reply(c *Command, r Result, err error) ([]byte, error)
	// Fact renders an event; its time and ids are the processor's.
	Fact(e meeting.Event) (EventRow, error)
	UserFact(f UserFact) (EventRow, error)
	ChoreFact(f ChoreFact) (EventRow, error)
	OwnerFact(f conference.SubscriptionChanged) (EventRow, error)
	// Done renders what wakes a waiting create.
	Done(m *meeting.Meeting) ([]byte, error)
	// Job renders the message of a meeting's google job; whole: the meeting was loaded with its guests.
	Job(m *meeting.Meeting, whole bool) ([]byte, error)
}

// Store keeps the truth.
type Store interface {
	// Batch loads what is needed, runs decide, and writes what it made, in one transaction. An error of decide or of the
	// database undoes all of it; [ErrConflict], [ErrUnreachable] and [BrokenError] say what to do about it.
	Batch(ctx context.Context, now time.Time, needs *Needs, decide func(*Unit) error) error
}

// Effects are what is to be published after the commit.
type Effects struct {
	Jobs []Dispatch
	Done []Done
}

// Dispatch is a google job to send.
type Dispatch struct {
	JobID    string
	Dispatch int64
	// Traceparent is the trace of the command that wanted it; empty: none.
	Traceparent string
	Body        []byte
}

// Done wakes whoever waits for an operation.
type Done struct {
	Operation, ReplyInbox string
	Body                  []byte
}

// DispatchLimit is how many google jobs are out at most: further rows wait for the relay, which feeds creates first.
const DispatchLimit = 256

// Processor carries out commands.
type Processor struct {
	store   Store
	codec   Codec
	clock   clock.Clock
	log     *slog.Logger
	drift   Drift
	looking Looking
	keep    Keeping

	places places
	owners owners
}

// NewProcessor makes a processor.
func NewProcessor(store Store, codec Codec, now clock.Clock, log *slog.Logger) *Processor {
	return &Processor{store: store, codec: codec, clock: now, log: log, drift: DriftConfig{}.drift(), looking: ConferencesConfig{}.Looking(), keep: Keeping{Zone: time.UTC}}
}

// Follow sets what becomes of changes that others make in Google Calendar; before the first Process. Else it is the default.
func (p *Processor) Follow(c DriftConfig) *Processor {
	p.drift = c.drift()
	return p
}

// Look sets what is read of what was held; before the first Process. Else it is the default.
func (p *Processor) Look(l Looking) *Processor {
	p.looking = l
	return p
}

// Keep sets where recordings are copied, how long what was held is kept, and when the periodic jobs run; before the first Process.
func (p *Processor) Keep(k Keeping) *Processor {
	p.keep = k
	p.looking.Rules.Export = k.Export.On
	return p
}

// Process carries out a batch in one transaction. Where that fails, the two halves of it go on by themselves, in their order,
// until a command that can't be carried out is alone. Each command ends with a Reply or an Err. What to publish is returned; it
// is committed already.
func (p *Processor) Process(ctx context.Context, batch []*Command) Effects {
	effects, err := p.once(ctx, batch)
	if errors.Is(err, ErrConflict) { // whoever won has committed by now
		effects, err = p.once(ctx, batch)
	}
	switch {
	case err == nil:
		return effects
	case len(batch) == 1, errors.Is(err, ErrUnreachable), ctx.Err() != nil:
		for _, c := range batch {
			c.Err = err
		}
		return Effects{}
	}
	p.log.WarnContext(ctx, "batch failed, carrying it out by halves", "commands", len(batch), "error", err)
	first, second := p.Process(ctx, batch[:len(batch)/2]), p.Process(ctx, batch[len(batch)/2:])
	return Effects{Jobs: append(first.Jobs, second.Jobs...), Done: append(first.Done, second.Done...)}
}

// once carries out a batch in one transaction. A panic is an error like any other, so that it harms no other command.
func (p *Processor) once(ctx context.Context, batch []*Command) (effects Effects, err error) {
	defer func() {
		if r := recover(); r != nil {
			if len(batch) == 1 {
				p.log.ErrorContext(ctx, "command panicked", "kind", batch[0].Kind, "command_id", batch[0].ID, "panic", r, "stack", string(debug.Stack()))
			}
			effects, err = Effects{}, &BrokenError{Cause: fmt.Errorf("panic: %v", r)}
		}
	}()
	needs := new(Needs)
	for _, c := range batch {
		c.Reply, c.Replayed, c.Refusal, c.Err, c.Changed = nil, false, nil, nil, nil
		if !c.Outcome {
			needs.Commands = append(needs.Commands, c.ID)
		}
		if c.late() { // and will be when it is decided
			continue
		}
		needs.Command = c.ID
		meetings, users := len(needs.Meetings), len(needs.UserIDs)
		c.Do.Needs(needs)
		c.refs, c.users = needs.Meetings[meetings:], needs.UserIDs[users:]
	}
	var seen map[string]Place
	var owning map[string]time.Time
	err = p.store.Batch(ctx, p.clock(), needs, func(u *Unit) error {
		u.Drift, u.Looking, u.Keeping = p.drift, p.looking, p.keep
		for _, c := range batch {
			done, err := p.apply(u, c)
			if err != nil {
				return fmt.Errorf("carry out command %s (%s): %w", c.ID, c.Kind, err)
			}
			if done != nil {
				effects.Done = append(effects.Done, *done)
			}
		}
		p.places.unknown(u)
		p.owners.unknown(u)
		seen, owning = u.Places, u.SpaceOwners
		return p.dispatch(u, &effects)
	})
	if err != nil {
		return Effects{}, err
	}
	p.places.written(seen)
	p.owners.written(owning)
	failpoint.Here("meetings.committed")
	return effects, nil
}

// apply carries out one command in the unit. Its error is of ours, not the command's.
func (p *Processor) apply(u *Unit, c *Command) (*Done, error) {
	if !c.Outcome {
		if stored, ok := u.Known[c.ID]; ok {
			return nil, p.repeat(u, c, stored)
		}
	}
	trail := follow(u, c)
	u.touched = u.touched[:0]
	meetings, tasks, renewed := len(u.NewMeetings), len(u.NewTasks), len(u.RenewedTasks)
	result, refused := decide(u, c)
	if refused != nil && !errors.As(refused, &c.Refusal) {
		return nil, refused
	}
	var err error
	if c.Reply, err = p.codec.Reply(c, result, refused); err != nil {
		return nil, fmt.Errorf("render the reply: %w", err)
	}
	if c.Refusal == nil {
		if err := p.record(u, c, result); err != nil {
			return nil, err
		}
		trace(c, u.NewMeetings[meetings:], u.touched, u.NewTasks[tasks:], u.RenewedTasks[renewed:])
	}
	if tooLate := c.Refusal != nil && c.Refusal.Kind == fault.Expired; !tooLate {
		if !c.Outcome {
			remember(u, c, result)
		}
		if !result.Silent {
			if err := trail.audited(u, c, result); err != nil {
				return nil, err
			}
		}
	}
	m := result.Meeting
	if c.Refusal != nil || !result.Done || m.Job.Operation == "" {
		return nil, nil //nolint:nilnil,nilerr // nobody to wake
	}
	body, err := p.codec.Done(m)
	if err != nil {
		return nil, fmt.Errorf("render the end of operation %s: %w", m.Job.Operation, err)
	}
	done := &Done{Operation: m.Job.Operation, ReplyInbox: m.Job.ReplyInbox, Body: body}
	m.Job.Operation, m.Job.ReplyInbox = "", ""
	return done, nil
}

// trace makes the work that a command wanted part of its trace. A row that an earlier one wanted, and that goes on, keeps its own.
func trace(c *Command, made, touched []*meeting.Meeting, planned, renewed []*task.Task) {
	for _, m := range slices.Concat(made, touched) {
		if m.Job.Traceparent == "" {
			m.Job.Traceparent = c.Traceparent
		}
	}
	for _, t := range slices.Concat(planned, renewed) {
		t.Traceparent = c.Traceparent
	}
}

func (c *Command) late() bool { return !c.Deadline.IsZero() && time.Now().After(c.Deadline) }

// decide runs the use case, unless it comes too late. A deadline is a network time-out of the caller's, by the machine's clock.
// That it came too late is not remembered: nothing was done, every copy of the same request is as late, and one with a later
// deadline is the caller who asks again under the same key, as a 503 tells him to.
func decide(u *Unit, c *Command) (Result, error) {
	if c.late() {
		return Result{}, fault.New(fault.Expired, ReasonExpired, "the request came too late and was not carried out")
	}
	if err := permit(u, c); err != nil {
		return Result{}, err
	}
	return c.Do.Apply(u, c)
}

// ReasonExpired is the reason of a command that arrived past its deadline.
const ReasonExpired = "DEADLINE_EXCEEDED"

// ErrConflict says that somebody else wrote the same rows at the same time: the same again sees them.
var ErrConflict = errors.New("written by another at the same time")

// ErrUnreachable says that the store can't be reached, for any command.
var ErrUnreachable = errors.New("the store cannot be reached")

// BrokenError says that a command can't be carried out however often it comes: its use case panicked, or no row can hold what
// it made.
type BrokenError struct{ Cause error }

func (e *BrokenError) Error() string { return e.Cause.Error() }

// Unwrap is the cause.
func (e *BrokenError) Unwrap() error { return e.Cause }

func (p *Processor) record(u *Unit, c *Command, result Result) error {
	for _, fact := range result.UserFacts {
		row, err := p.codec.UserFact(fact)
		if err != nil {
			return fmt.Errorf("render an event: %w", err)
		}
		if err := appendEvent(u, c, row); err != nil {
			return err
		}
	}
	for _, fact := range result.OwnerFacts {
		row, err := p.codec.OwnerFact(fact)
		if err != nil {
			return fmt.Errorf("render an event: %w", err)
		}
		if err := appendEvent(u, c, row); err != nil {
			return err
		}
	}
	for _, fact := range result.ChoreFacts {
		row, err := p.codec.ChoreFact(fact)
		if err != nil {
			return fmt.Errorf("render an event: %w", err)
		}
		if err := appendEvent(u, c, row); err != nil {
			return err
		}
	}
	for _, fact := range result.Facts {
		row, err := p.codec.Fact(fact)
		if err != nil {
			return fmt.Errorf("render an event: %w", err)
		}
		if err := appendEvent(u, c, row); err != nil {
			return err
		}
	}
	return nil
}

func appendEvent(u *Unit, c *Command, row EventRow) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an event id: %w", err)
	}
	row.ID, row.Traceparent = id, c.Traceparent
	u.Events = append(u.Events, row)
	return nil
}

// repeat answers a command that was carried out before. Another body under the same id is refused and not stored.
func (p *Processor) repeat(u *Unit, c *Command, stored Stored) error {
	c.Replayed = true
	if c.BodyHash != "" && stored.BodyHash != c.BodyHash {
		refusal := fault.New(fault.KeyReused, ReasonKeyReused, "this Idempotency-Key was used with another body; use a new key for a new request")
		reply, err := p.codec.Reply(c, Result{}, refusal)
		if err != nil {
			return fmt.Errorf("render the reply: %w", err)
		}
		c.Reply, c.Replayed, c.Refusal = reply, false, refusal
		trail := follow(u, c)
		return trail.audited(u, c, Result{})
	}
	c.Reply = stored.Reply
	return nil
}

// ReasonKeyReused is the reason of an idempotency key that came with another body.
const ReasonKeyReused = "IDEMPOTENCY_KEY_REUSED"

func remember(u *Unit, c *Command, result Result) {
	row := CommandRow{ID: c.ID, Kind: c.Kind, BodyHash: c.BodyHash, Principal: c.Principal, RequestID: c.RequestID, RemoteAddr: c.RemoteAddr, Reply: c.Reply}
	if c.Refusal != nil {
		row.Refusal = c.Refusal.Reason
	}
	if result.Meeting != nil {
		row.MeetingID = result.Meeting.ID
	}
	u.Commands = append(u.Commands, row)
	u.Known[c.ID] = Stored{BodyHash: c.BodyHash, Reply: c.Reply} // a double in the same batch
}

// dispatch marks the google jobs that became due as sent, as far as the limit allows, and renders their messages.
func (p *Processor) dispatch(u *Unit, effects *Effects) error {
	send := func(m *meeting.Meeting, whole bool) error {
		if m.Job.State != meeting.JobDue || m.Job.DueAt.After(u.Now) || u.GooglePressing >= DispatchLimit {
			return nil
		}
		u.GooglePressing++
		dispatch := m.Job.Send(u.Now)
		body, err := p.codec.Job(m, whole)
		if err != nil {
			return fmt.Errorf("render the job of meeting %d: %w", m.ID, err)
		}
		effects.Jobs = append(effects.Jobs, Dispatch{JobID: m.Job.ID, Dispatch: dispatch, Traceparent: m.Job.Traceparent, Body: body})
		return nil
	}
	for _, m := range u.NewMeetings {
		if err := send(m, true); err != nil {
			return err
		}
	}
	for _, m := range u.Dirty {
		_, whole := u.HadGuests[m.ID]
		if err := send(m, whole); err != nil {
			return err
		}
	}
	return nil
}

// Module is the use cases. Needs Store, ConferenceReads, Codec, DriftConfig, ConferencesConfig, KeepingConfig, clock.Clock and *slog.Logger;
// provides *Processor, *Planner and *Authenticator.
var Module = fx.Module("meetings/app", fx.Provide(
	func(store Store, codec Codec, now clock.Clock, log *slog.Logger, c DriftConfig, h ConferencesConfig, k KeepingConfig) (*Processor, error) {
		keep, err := k.Keeping()
		return NewProcessor(store, codec, now, log).Follow(c).Look(h.Looking()).Keep(keep), err
	},
	NewAuthenticator,
	func(reads ConferenceReads, h ConferencesConfig, k KeepingConfig, now clock.Clock) *Planner {
		looking := h.Looking()
		looking.Rules.Export = k.ExportURL != ""
		return NewPlanner(reads, looking, now)
	},
))
