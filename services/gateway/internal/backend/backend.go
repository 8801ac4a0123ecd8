// Package backend asks the meetings service on behalf of every HTTP surface of the gateway: it derives command ids from
// idempotency keys, waits for commits and for Google, and joins the two replies of a create. It knows no HTTP.
package backend

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

// Config of waiting.
type Config struct {
	CreateWait     time.Duration `env:"MEET_CREATE_WAIT" envDefault:"8s" help:"how long a create waits for Google's link before it answers 202 with an operation to follow; 0s: at once"`
	CommandTimeout time.Duration `env:"MEET_COMMAND_TIMEOUT" envDefault:"5s" help:"how long a change waits for its commit before it answers 503; a command that is committed later is refused as expired"`
	QueryTimeout   time.Duration `env:"MEET_QUERY_TIMEOUT" envDefault:"5s" help:"how long a read waits for its answer before it answers 503"`

	TimeZone          string `env:"MEET_TIME_ZONE" envDefault:"America/Bogota" help:"IANA time zone of a meeting that names none"`
	AutoRecordDefault bool   `env:"MEET_AUTO_RECORD_DEFAULT" envDefault:"True" help:"whether a meeting that does not say is recorded"`

	// Stopping is closed once the server that ctx's request came through begins to stop: a create then answers as far as it
	// has come. Set by code; nil: none stops.
	Stopping func(ctx context.Context) <-chan struct{} `env:"-"`
}

// Check refuses waits that can't be and a time zone that is not known.
func (c Config) Check() error {
	var problems []error
	positive := func(variable string, d time.Duration) {
		if d <= 0 {
			problems = append(problems, config.Bad(variable, fmt.Sprintf("%s is no time to wait", d), "write more than 0s"))
		}
	}
	positive("MEET_COMMAND_TIMEOUT", c.CommandTimeout)
	positive("MEET_QUERY_TIMEOUT", c.QueryTimeout)
	if c.CreateWait < 0 || c.CreateWait > maxCreateWait {
		problems = append(problems, config.Bad("MEET_CREATE_WAIT", fmt.Sprintf("%s is not between 0s and %s", c.CreateWait, maxCreateWait), "write 0s to answer at once"))
	}
	if !knownZone(c.TimeZone) {
		problems = append(problems, config.Bad("MEET_TIME_ZONE", fmt.Sprintf("%q is not a known time zone", c.TimeZone), "use an IANA name such as America/Bogota"))
	}
	return errors.Join(problems...)
}

// maxCreateWait stays below the port's read timeout of 30 s: net/http ends the context of a request that runs longer.
const maxCreateWait = 25 * time.Second

// Reasons that this package adds.
const (
	// ReasonInFlight: the first request with this idempotency key is not committed yet.
	ReasonInFlight = "IDEMPOTENCY_KEY_IN_FLIGHT"
	// ReasonTimeZone: a time zone is no IANA name.
	ReasonTimeZone = "TIME_ZONE"
)

// commandIDs is the UUIDv5 name space of command ids that are derived from idempotency keys.
var commandIDs = uuid.MustParse("6f0c1d52-6a57-5c0e-9a0f-5b1d0a4b7c11")

// Backend sends commands and queries.
type Backend struct {
	config Config
	bus    *bus.Bus
	now    func() time.Time
	google *googleState

	zones    sync.Map // names of time zones that were found to be known
	mu       sync.Mutex
	inFlight map[uuid.UUID]struct{} // commands under an idempotency key that are not committed yet
}

// New makes a backend; [Backend.Start] lets it know when Google is down. Deadlines are network time-outs and stay on the machine's clock.
func New(config Config, b *bus.Bus) *Backend {
	return &Backend{config: config, bus: b, now: time.Now, google: newGoogleState(time.Now), inFlight: make(map[uuid.UUID]struct{})}
}

// Caller is who asks and how, the same for every command.
type Caller struct {
	Principal bus.Principal
	// IdempotencyKey makes a repeat answer what the first became; empty: every request is a new one. Scope: principal and Route.
	IdempotencyKey string
	// Route is method and path, such as "POST /api/v1/meetings/".
	Route string
	// BodyHash tells a repeat from another body; empty: it is made from the command.
	BodyHash    string
	RequestID   string
	RemoteAddr  string
	Traceparent string
}

// commandID is the same for every repeat of a request under one idempotency key, and new each time without one.
func (c Caller) commandID() (uuid.UUID, error) {
	if c.IdempotencyKey == "" {
		return uuid.NewV7()
	}
	return uuid.NewSHA1(commandIDs, []byte(c.Principal.Name+"\x00"+c.Route+"\x00"+c.IdempotencyKey)), nil
}

// Outcome of a command.
type Outcome[Resp proto.Message] struct {
	Response Resp
	// Replayed: an earlier request with the same idempotency key had done it, or had been refused.
	Replayed bool
}

// Do sends a command and waits for its commit. Faults are those of the command, [fault.InFlight], [fault.KeyReused], and
// [fault.Unavailable] when the outcome is not known in time.
func Do[Req, Resp proto.Message](ctx context.Context, b *Backend, command subject.Command[Req, Resp], caller Caller, req Req) (Outcome[Resp], error) {
	call, release, err := start(b, command, caller, req)
	if err != nil {
		return Outcome[Resp]{}, err
	}
	defer call.Close()
	defer release()
	return committed(ctx, b, call)
}

func committed[Resp proto.Message](ctx context.Context, b *Backend, call *bus.Call[Resp]) (Outcome[Resp], error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.CommandTimeout, fmt.Errorf("no commit within %s", b.config.CommandTimeout))
	defer cancel()
	resp, replayed, err := call.Committed(ctx)
	return Outcome[Resp]{Response: resp, Replayed: replayed}, err
}

// start publishes the command; release frees its idempotency key for the next request.
func start[Req, Resp proto.Message](b *Backend, command subject.Command[Req, Resp], caller Caller, req Req) (*bus.Call[Resp], func(), error) {
	id, err := caller.commandID()
	if err != nil {
		return nil, nil, fmt.Errorf("make a command id: %w", err)
	}
	release := func() {}
	if caller.IdempotencyKey != "" {
		if !b.claim(id) {
			return nil, nil, fault.New(fault.InFlight, ReasonInFlight, "a request with this Idempotency-Key is being carried out; repeat it later")
		}
		release = func() { b.unclaim(id) }
		if caller.BodyHash == "" {
			if caller.BodyHash, err = HashBody(req); err != nil {
				release()
				return nil, nil, err
			}
		}
	}
	call, err := bus.Start(b.bus, command, req, bus.Envelope{
		CommandID: id, Deadline: b.now().Add(b.config.CommandTimeout), Principal: caller.Principal, BodyHash: caller.BodyHash,
		RequestID: caller.RequestID, RemoteAddr: caller.RemoteAddr, Traceparent: caller.Traceparent,
	})
	if err != nil {
		release()
		return nil, nil, err
	}
	return call, release, nil
}

// HashBody is the hash that tells a repeat from another body.
func HashBody(req proto.Message) (string, error) {
	body, err := proto.MarshalOptions{Deterministic: true}.Marshal(req)
	if err != nil {
		return "", fmt.Errorf("hash the request: %w", err)
	}
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:]), nil
}

func (b *Backend) claim(id uuid.UUID) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, taken := b.inFlight[id]; taken {
		return false
	}
	b.inFlight[id] = struct{}{}
	return true
}

func (b *Backend) unclaim(id uuid.UUID) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.inFlight, id)
}

// Created is what a create came to.
type Created struct {
	// Meeting as committed, with what Google gave by the time of the answer.
	Meeting *meetv1.Meeting
	// Operation names the create; it can be followed whatever it came to.
	Operation string
	Replayed  bool
}

// Pending tells that Google has not made the link yet.
func (c Created) Pending() bool {
	return c.Meeting.GetProvisioning() == meetv1.Provisioning_PROVISIONING_PENDING
}

// fill makes explicit what a create left to the server.
func (b *Backend) fill(req *meetv1.CreateMeetingRequest) error {
	orElse := func(at **bool, otherwise bool) {
		if *at == nil {
			*at = &otherwise
		}
	}
	orElse(&req.AutoRecord, b.config.AutoRecordDefault)
	orElse(&req.CreateCalendarEvent, true)
	orElse(&req.PublicAccess, true)
	orElse(&req.GuestsCanSeeEachOther, false)
	if req.TimeZone == "" {
		req.TimeZone = b.config.TimeZone
	}
	if req.TimeZone == b.config.TimeZone {
		return nil
	}
	if _, known := b.zones.Load(req.TimeZone); known { // there are a few hundred, and each is a file
		return nil
	}
	if !knownZone(req.TimeZone) {
		return fault.InvalidField("time_zone", ReasonTimeZone, "is not a known time zone; use an IANA name such as America/Bogota")
	}
	b.zones.Store(req.TimeZone, struct{}{})
	return nil
}

func knownZone(name string) bool {
	if name == "" || name == "Local" {
		return false
	}
	_, err := time.LoadLocation(name)
	return err == nil
}

// CreateMeeting sends the create, what it left to the server filled in, and waits for its commit, then, unless async or while
// Google is down, up to Config.CreateWait for Google's link. A meeting whose provisioning failed is returned without an error: Meeting.Error says
// why. Created.Replayed holds with an error as well.
func (b *Backend) CreateMeeting(ctx context.Context, caller Caller, async bool, req *meetv1.CreateMeetingRequest) (Created, error) {
	if err := b.fill(req); err != nil {
		return Created{}, err
	}
	started := b.now()
	call, release, err := start(b, subject.CreateMeeting, caller, req)
	if err != nil {
		return Created{}, err
	}
	defer call.Close()
	outcome, err := committed(ctx, b, call)
	release()
	if err != nil {
		return Created{Replayed: outcome.Replayed}, err
	}
	created := Created{Meeting: outcome.Response.GetMeeting(), Operation: outcome.Response.GetOperation(), Replayed: outcome.Replayed}
	wait := b.config.CreateWait - b.now().Sub(started)
	api := apiCalendar
	if !req.GetCreateCalendarEvent() {
		api = apiMeet
	}
	down, fell := b.google.is(api)
	if async || down || wait <= 0 {
		wait = 0
	}
	ctx, cancel := context.WithTimeoutCause(ctx, wait, fmt.Errorf("Google made no link within %s", b.config.CreateWait))
	defer cancel()
	if wait > 0 {
		var stopping <-chan struct{}
		if b.config.Stopping != nil {
			stopping = b.config.Stopping(ctx)
		}
		go func() {
			for {
				select {
				case <-stopping:
					cancel()
				case <-fell:
					var gone bool
					if gone, fell = b.google.is(api); gone {
						cancel()
					}
				case <-ctx.Done():
					return
				}
			}
		}()
	}
	if !created.Replayed {
		if wait > 0 {
			if done := call.Done(ctx); done != nil {
				apply(created.Meeting, done)
				return created, nil
			}
		}
		if async || down || ctx.Err() != nil && b.config.CreateWait == 0 {
			return created, nil
		}
	}
	// A repeat, a lost connection, or time is up: ask what it has become.
	if wait > 0 && ctx.Err() == nil {
		return b.await(ctx, created)
	}
	return b.refresh(ctx, created)
}

// await waits for the end of an operation that an earlier request began, or whose reply was lost.
func (b *Backend) await(ctx context.Context, created Created) (Created, error) {
	done, err := bus.Await(ctx, b.bus, created.Operation, func(context.Context) (*meetv1.OperationDone, error) {
		fresh, err := b.refresh(ctx, created)
		if err != nil {
			return nil, err
		}
		created = fresh
		if created.Pending() {
			return nil, nil //nolint:nilnil // not done yet
		}
		return &meetv1.OperationDone{}, nil
	})
	switch {
	case err != nil && fault.KindOf(err) != fault.Unavailable: // without NATS it is committed all the same
		return Created{}, err
	case !created.Pending():
		return created, nil
	case done != nil:
		apply(created.Meeting, done)
		return created, nil
	}
	return b.refresh(ctx, created)
}

// refresh reads the meeting as it is now, in the shape of a create's answer; also when ctx has ended.
func (b *Backend) refresh(ctx context.Context, created Created) (Created, error) {
	now, err := Ask(auth.Unscoped(context.WithoutCancel(ctx)), b, subject.GetMeeting, &meetv1.GetMeetingRequest{Id: strconv.FormatInt(created.Meeting.GetId(), 10)})
	if err != nil {
		if fault.KindOf(err) == fault.Unavailable {
			return created, nil // committed all the same: the answer is what is known
		}
		return Created{}, err
	}
	now.Organizer, now.Participants, now.Recording = nil, nil, nil
	created.Meeting = now
	return created, nil
}

func apply(m *meetv1.Meeting, done *meetv1.OperationDone) {
	m.Provisioning, m.GoogleSync, m.Status, m.RecordingState = done.GetProvisioning(), done.GetGoogleSync(), done.GetStatus(), done.GetRecordingState()
	m.GoogleEventId, m.MeetLink, m.MeetingCode, m.Space = done.GetGoogleEventId(), done.GetMeetLink(), done.GetMeetingCode(), done.GetSpace()
	m.Simulated, m.Version, m.UpdatedAt, m.Error = done.GetSimulated(), done.GetVersion(), done.GetUpdatedAt(), done.GetError()
	m.Etag = strconv.Quote(strconv.FormatInt(m.GetVersion(), 10))
}

// Health is what can be reached.
type Health struct {
	Broker bool
	// Database: the meetings service answered and reaches its database.
	Database bool
	// GoogleDown: the schedulers say that an API of Google does not answer.
	GoogleDown bool
}

// CheckHealth asks NATS and, through it, the meetings service, side by side. It returns when ctx ends at the latest.
func (b *Backend) CheckHealth(ctx context.Context) Health {
	var h Health
	var asked sync.WaitGroup
	asked.Go(func() { h.Broker = b.bus.Check(ctx) == nil })
	asked.Go(func() {
		resp, err := bus.Ask(ctx, b.bus, subject.CheckHealth, &meetv1.CheckHealthRequest{})
		h.Database = err == nil && resp.GetDatabase()
	})
	asked.Wait()
	h.Broker = h.Broker || h.Database // an answer came over it
	h.GoogleDown = b.google.any()
	return h
}

// Ask sends a query and waits at most Config.QueryTimeout.
func Ask[Req, Resp proto.Message](ctx context.Context, b *Backend, query subject.Query[Req, Resp], req Req) (Resp, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, b.config.QueryTimeout, fmt.Errorf("no answer within %s", b.config.QueryTimeout))
	defer cancel()
	return bus.Ask(ctx, b.bus, query, req)
}
