package clock

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"go.uber.org/fx"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/pkg/lifecycle"
)

// The values of MEET_CLOCK.
const (
	ModeSystem   = "system"
	ModeEmulator = "emulator"
)

// Config of the clock.
type Config struct {
	Mode string `env:"MEET_CLOCK" envDefault:"system" oneof:"system emulator" help:"system: this machine's clock; emulator: the clock of the Google emulator, which can be advanced, frozen and made to run fast, so that a month can be tried in a minute; refused with Google itself, and the same for all services"`
}

// CheckAgainst refuses the emulator's clock where Google itself is called; emulated tells whether it is not.
func (c Config) CheckAgainst(emulated bool) error {
	if c.Mode == ModeEmulator && !emulated {
		return config.Bad("MEET_CLOCK", "is emulator while Google itself is called", "leave it out, or use MEET_GOOGLE=emulator")
	}
	return nil
}

const (
	// followWait is how long the emulator is asked to hold a question whose answer is what is known already.
	followWait = 30 * time.Second
	// followPatience is how long its answer may take beyond that.
	followPatience = 5 * time.Second
	// firstWait is how long a start waits for the emulator.
	firstWait = 30 * time.Second
	// answerLimit is far above the size of an answer.
	answerLimit = 64 << 10
)

// Followed is the clock of a Google emulator, which runs at any rate, stands still and jumps. It asks the emulator to tell of
// each change and reckons in between; while the emulator can't be reached it goes on as it was. Before [Followed.Start] it is
// the machine's clock.
type Followed struct {
	url  EmulatorURL
	http *http.Client
	log  *slog.Logger

	mu      sync.Mutex
	course  course
	known   bool
	waiting map[*pending]struct{}
}

// course is how the emulator's clock runs: at the machine's time real it stands at emulated.
type course struct {
	real, emulated time.Time
	rate           float64
	revision       int64
}

type pending struct {
	at    time.Time
	rung  chan struct{}
	timer *time.Timer // nil while the clock stands still
}

// Follow makes a clock that follows the emulator at the address that url gives.
func Follow(url EmulatorURL, log *slog.Logger) *Followed {
	return &Followed{url: url, http: &http.Client{Timeout: followWait + followPatience}, log: log, waiting: make(map[*pending]struct{})}
}

// Now is a [Clock].
func (f *Followed) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now()
}

func (f *Followed) now() time.Time {
	if !f.known {
		return Cut(time.Now())
	}
	return Cut(f.course.emulated.Add(time.Duration(float64(time.Since(f.course.real)) * f.course.rate)))
}

// Alarm is an [Alarm]. It rings as soon as the clock jumps past its time.
func (f *Followed) Alarm(at time.Time) (<-chan struct{}, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := &pending{at: at, rung: make(chan struct{})}
	if !at.After(f.now()) {
		close(p.rung)
		return p.rung, func() {}
	}
	f.waiting[p] = struct{}{}
	f.arm(p)
	return p.rung, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if _, waits := f.waiting[p]; waits {
			f.disarm(p)
			delete(f.waiting, p)
		}
	}
}

// longestTimer is far below what a duration holds; a timer that runs out early is set again.
const longestTimer = 24 * time.Hour

func (f *Followed) arm(p *pending) {
	rate := 1.0
	if f.known {
		rate = f.course.rate
	}
	if rate <= 0 {
		return // it rings when the clock is moved
	}
	wait := min(float64(p.at.Sub(f.now()))/rate, float64(longestTimer))
	p.timer = time.AfterFunc(time.Duration(wait)+time.Microsecond, func() { f.ring(p) })
}

func (f *Followed) disarm(p *pending) {
	if p.timer != nil {
		p.timer.Stop()
		p.timer = nil
	}
}

// ring is what a timer runs: it may be early, or of a course that has changed.
func (f *Followed) ring(p *pending) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, waits := f.waiting[p]; !waits {
		return
	}
	f.settle(p)
}

// settle rings p when it is due, and else sets its timer anew.
func (f *Followed) settle(p *pending) {
	f.disarm(p)
	if !p.at.After(f.now()) {
		close(p.rung)
		delete(f.waiting, p)
		return
	}
	f.arm(p)
}

func (f *Followed) set(c course) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.course, f.known = c, true
	for p := range f.waiting {
		f.settle(p)
	}
}

// Start waits for the emulator's first answer.
func (f *Followed) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, firstWait, fmt.Errorf("no Google emulator answered within %s", firstWait))
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) { return struct{}{}, f.ask(ctx, false) }, backoff.WithBackOff(patient()))
	if err != nil {
		return fmt.Errorf("follow the emulator's clock: %w", errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

func patient() *backoff.ExponentialBackOff {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, time.Second
	return pause
}

// Run follows until ctx ends.
func (f *Followed) Run(ctx context.Context) error {
	pause := patient()
	lost := false
	for ctx.Err() == nil {
		err := f.ask(ctx, true)
		if err == nil {
			if lost {
				f.log.InfoContext(ctx, "emulator's clock is followed again")
			}
			lost = false
			pause.Reset()
			continue
		}
		if ctx.Err() != nil {
			break
		}
		if !lost {
			lost = true
			f.log.WarnContext(ctx, "emulator's clock can't be read; it is reckoned as it was", "error", err)
		}
		timer := time.NewTimer(pause.NextBackOff())
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil //nolint:nilerr // it was told to end
}

// answer is what GET /_emulator/clock gives.
type answer struct {
	Now      time.Time `json:"now"`
	Rate     float64   `json:"rate"`
	Revision int64     `json:"revision"`
	Epoch    struct {
		Real     time.Time `json:"real"`
		Emulated time.Time `json:"emulated"`
	} `json:"epoch"`
}

// sameMachine is how much an answer may be late for its epoch to be believed; more is another machine's clock.
const sameMachine = 20 * time.Millisecond

// course is the clock's course as of an answer that was asked for and received at these times. Where the emulator's machine has
// the same time as this one its epoch is exact, and all who follow reckon alike; else the answer is as old as half its way.
func (a answer) course(asked, received time.Time) course {
	c := course{real: a.Epoch.Real, emulated: a.Epoch.Emulated, rate: a.Rate, revision: a.Revision}
	if a.Rate > 0 && !c.real.IsZero() {
		written := c.real.Add(time.Duration(float64(a.Now.Sub(c.emulated)) / a.Rate))
		if written.Before(received.Add(sameMachine)) && written.After(received.Add(-sameMachine)) {
			// The monotonic reading of here and now makes it proof against a step of the machine's clock.
			return course{real: received, emulated: c.emulated.Add(time.Duration(float64(received.Sub(c.real)) * a.Rate)), rate: a.Rate, revision: a.Revision}
		}
	}
	at := received
	if way := received.Sub(asked); way < followPatience { // else it was held back, for as long as nothing changed
		at = received.Add(-way / 2)
	}
	return course{real: at, emulated: a.Now, rate: a.Rate, revision: a.Revision}
}

// ask reads the clock; when later, it waits for a change of what is known.
func (f *Followed) ask(ctx context.Context, later bool) error {
	address := strings.TrimRight(f.url(), "/") + "/_emulator/clock"
	if later {
		f.mu.Lock()
		address += "?" + url.Values{"after": {strconv.FormatInt(f.course.revision, 10)}, "wait": {followWait.String()}}.Encode()
		f.mu.Unlock()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return err
	}
	asked := time.Now()
	resp, err := f.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, answerLimit))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the emulator answered %s", resp.Status)
	}
	var a answer
	if err := json.Unmarshal(body, &a); err != nil || a.Now.IsZero() || a.Rate < 0 {
		return errors.New("the emulator's answer is no clock")
	}
	f.mu.Lock()
	same := f.known && a.Revision == f.course.revision
	f.mu.Unlock()
	if same {
		return nil // a clock that is reckoned from one moment does not jitter
	}
	f.set(a.course(asked, time.Now()))
	return nil
}

// EmulatorURL is where the emulator is, asked once the program starts.
type EmulatorURL func() string

// ModuleFor is the clock that c asks for. Provides [Clock] and [Alarm]; needs *slog.Logger and, for the emulator's, an
// EmulatorURL.
func ModuleFor(c Config) fx.Option {
	if c.Mode != ModeEmulator {
		return Module
	}
	return fx.Module("clock",
		fx.Provide(
			func(lc fx.Lifecycle, sd fx.Shutdowner, url EmulatorURL, log *slog.Logger) *Followed {
				f := Follow(url, log)
				lc.Append(fx.StartHook(f.Start))
				lifecycle.Go(lc, sd, log, "emulator's clock", f.Run)
				return f
			},
			func(f *Followed) Clock { return f.Now },
			func(f *Followed) Alarm { return f.Alarm },
		),
	)
}
