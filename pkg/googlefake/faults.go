package googlefake

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// When says on which side of the work a fault strikes.
type When string

// Before strikes before anything was done; After does the work and then loses the answer.
const (
	Before When = "before"
	After  When = "after"
)

// StatusReset as a fault's status resets the TCP connection instead of answering.
const StatusReset = 0

// RetryAfter is the value of a Retry-After header: seconds or an HTTP date. In JSON a number or a
// string. Empty sends no header.
type RetryAfter string

// UnmarshalJSON takes a whole number of seconds or a string with an HTTP date (RFC 9110 §10.2.3).
func (r *RetryAfter) UnmarshalJSON(b []byte) error {
	var text string
	if json.Unmarshal(b, &text) == nil {
		*r = RetryAfter(text)
		return nil
	}
	seconds, err := strconv.ParseUint(string(bytes.TrimSpace(b)), 10, 31)
	if err != nil {
		return errors.New("want whole seconds or an HTTP date")
	}
	*r = RetryAfter(strconv.FormatUint(seconds, 10))
	return nil
}

// MarshalJSON gives seconds as a number again.
func (r RetryAfter) MarshalJSON() ([]byte, error) {
	if seconds, err := strconv.ParseUint(string(r), 10, 31); err == nil {
		return strconv.AppendUint(nil, seconds, 10), nil
	}
	return json.Marshal(string(r))
}

// Fault is one way in which Google goes wrong. A request is hit by the first fault in the list that
// matches it and has a Status; faults without one only add their Latency, all that match.
type Fault struct {
	// Match is "METHOD /path/prefix" or "/path/prefix"; "/" is every request to a Google route,
	// the token endpoint included. Control routes are never hit.
	Match string
	// Subject, an address, limits the fault to calls in that person's name; the token endpoint's too.
	Subject string
	// Status to answer. StatusReset resets the connection. nil leaves the answer alone: the fault
	// is then a Latency only.
	Status *int
	// RetryAfter is the Retry-After header to send with Status.
	RetryAfter RetryAfter
	// Latency is waited, in real time, before the work or between the work and the answer.
	Latency time.Duration
	// LatencyMax makes the latency a random one, from Latency up to it.
	LatencyMax time.Duration
	// BytesPerSecond slows the body of the answer down.
	BytesPerSecond int64
	// Cut breaks the connection off after so many bytes of the body.
	Cut int64
	// Times is how often the fault strikes; 0 is until it is removed.
	Times int
	// Probability that a matching request is hit; 0 is the same as 1, always.
	Probability float64
	// When defaults to Before.
	When When
	// Reason replaces the usual reason of the status: "quotaExceeded" for Calendar,
	// "invalid_grant" for the token endpoint, an ErrorInfo reason for Meet.
	Reason string
	// Message replaces the usual text of the reason.
	Message string
	// Body replaces the whole answer: JSON as it is, a JSON string as the text in it (HTML when
	// it begins with "<").
	Body json.RawMessage
}

type faultWire struct {
	Match       *string         `json:"match"`
	Status      *int            `json:"status,omitempty"`
	RetryAfter  json.RawMessage `json:"retry_after,omitempty"`
	Subject     string          `json:"subject,omitempty"`
	Latency     *string         `json:"latency,omitempty"`
	LatencyMax  *string         `json:"latency_max,omitempty"`
	Speed       int64           `json:"bytes_per_second,omitempty"`
	Cut         int64           `json:"cut,omitempty"`
	Times       *int            `json:"times,omitempty"`
	Probability *float64        `json:"probability,omitempty"`
	When        When            `json:"when,omitempty"`
	Reason      string          `json:"reason,omitempty"`
	Message     string          `json:"message,omitempty"`
	Body        json.RawMessage `json:"body,omitempty"`
}

// MarshalJSON writes the fault as POST /_emulator/faults takes it.
func (f Fault) MarshalJSON() ([]byte, error) {
	w := faultWire{
		Match: &f.Match, Status: f.Status, When: f.When, Reason: f.Reason, Message: f.Message, Body: f.Body,
		Subject: f.Subject, Speed: f.BytesPerSecond, Cut: f.Cut,
	}
	if f.LatencyMax != 0 {
		w.LatencyMax = new(f.LatencyMax.String())
	}
	if f.RetryAfter != "" {
		w.RetryAfter = mustJSON(f.RetryAfter)
	}
	if f.Latency != 0 {
		w.Latency = new(f.Latency.String())
	}
	if f.Times != 0 {
		w.Times = &f.Times
	}
	if f.Probability != 0 {
		w.Probability = &f.Probability
	}
	return json.Marshal(w)
}

// fieldError is bad input to a control route: which field, and what it should be.
type fieldError struct{ field, text string }

func (e *fieldError) Error() string { return e.field + ": " + e.text }

// decodeFaults reads the body of POST /_emulator/faults. Errors are *fieldError.
func decodeFaults(body []byte) ([]Fault, error) {
	var items []json.RawMessage
	if err := json.Unmarshal(body, &items); err != nil {
		return nil, &fieldError{"body", "want a JSON array of faults: " + err.Error()}
	}
	faults := make([]Fault, 0, len(items))
	for i, item := range items {
		at := "[" + strconv.Itoa(i) + "]"
		var w faultWire
		if err := decodeStrict(item, &w); err != nil {
			var fe *fieldError
			if errors.As(err, &fe) {
				return nil, &fieldError{at + "." + fe.field, fe.text}
			}
			return nil, &fieldError{at, err.Error()}
		}
		f, err := w.fault()
		if err == nil {
			err = f.check()
		}
		if err != nil {
			var fe *fieldError
			errors.As(err, &fe)
			return nil, &fieldError{at + "." + fe.field, fe.text}
		}
		faults = append(faults, f)
	}
	return faults, nil
}

// decodeStrict decodes one JSON object and refuses fields it does not know, as a *fieldError where
// the field can be named.
func decodeStrict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		var te *json.UnmarshalTypeError
		if errors.As(err, &te) && te.Field != "" {
			return &fieldError{te.Field, "want " + te.Type.String() + ", got " + te.Value}
		}
		if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
			if name = strings.Trim(name, `"`); name == "" {
				name = `""`
			}
			return &fieldError{name, "no such field"}
		}
		return err
	}
	if dec.More() {
		return errors.New("more than one JSON value")
	}
	return nil
}

func (w faultWire) fault() (Fault, error) {
	f := Fault{
		Status: w.Status, When: w.When, Reason: w.Reason, Message: w.Message, Body: w.Body,
		Subject: strings.ToLower(w.Subject), BytesPerSecond: w.Speed, Cut: w.Cut,
	}
	if w.LatencyMax != nil {
		d, err := time.ParseDuration(*w.LatencyMax)
		if err != nil || d <= 0 {
			return f, &fieldError{"latency_max", `want a duration such as "50ms" or "1h"`}
		}
		f.LatencyMax = d
	}
	if len(w.RetryAfter) > 0 && f.RetryAfter.UnmarshalJSON(w.RetryAfter) != nil {
		return f, &fieldError{"retry_after", "want whole seconds or an HTTP date"}
	}
	if w.Match == nil {
		return f, &fieldError{"match", `required: "METHOD /path/prefix" or "/path/prefix"`}
	}
	f.Match = *w.Match
	if w.Latency != nil {
		d, err := time.ParseDuration(*w.Latency)
		if err != nil {
			return f, &fieldError{"latency", `want a duration such as "50ms" or "1h"`}
		}
		f.Latency = d
	}
	if w.Times != nil {
		if *w.Times < 1 {
			return f, &fieldError{"times", "want 1 or more; leave it out for always"}
		}
		f.Times = *w.Times
	}
	if w.Probability != nil {
		if *w.Probability == 0 {
			return f, &fieldError{"probability", "want more than 0 and at most 1"}
		}
		f.Probability = *w.Probability
	}
	return f, nil
}

// check names the field that makes no sense, as a *fieldError.
func (f Fault) check() error {
	method, path := f.target()
	switch {
	case !strings.HasPrefix(path, "/"):
		return &fieldError{"match", `want "METHOD /path/prefix" or "/path/prefix"`}
	case strings.HasPrefix(path, controlPrefix):
		return &fieldError{"match", "control routes cannot be made to fail"}
	case method != "" && method != strings.ToUpper(method):
		return &fieldError{"match", "want the method in capitals"}
	case f.LatencyMax != 0 && f.LatencyMax < f.Latency:
		return &fieldError{"latency_max", "want no less than latency"}
	case f.BytesPerSecond < 0:
		return &fieldError{"bytes_per_second", "want more than 0"}
	case f.Cut < 0:
		return &fieldError{"cut", "want more than 0"}
	case f.Status == nil && f.Latency == 0 && f.LatencyMax == 0 && f.BytesPerSecond == 0 && f.Cut == 0:
		return &fieldError{"status", "required, unless there is a latency, a cut or bytes_per_second: 0 resets the connection, 200 to 599 answers"}
	case f.Status != nil && *f.Status != StatusReset && (*f.Status < 200 || *f.Status > 599):
		return &fieldError{"status", "want 0 or 200 to 599"}
	case f.Status != nil && *f.Status >= 200 && *f.Status < 300 && len(f.Body) == 0:
		return &fieldError{"body", "required with a status that is no error"}
	case f.Latency < 0:
		return &fieldError{"latency", "want 0 or more"}
	case f.Times < 0:
		return &fieldError{"times", "want 1 or more; leave it out for always"}
	case !(f.Probability >= 0 && f.Probability <= 1):
		return &fieldError{"probability", "want more than 0 and at most 1"}
	case f.When != "" && f.When != Before && f.When != After:
		return &fieldError{"when", `want "before" or "after"`}
	case f.Status == nil && (f.RetryAfter != "" || f.Reason != "" || f.Message != "" || len(f.Body) > 0):
		return &fieldError{"status", "required: the fault says what to answer"}
	case len(f.Body) > 0 && !json.Valid(f.Body):
		return &fieldError{"body", "want JSON, or a JSON string with the text to send"}
	}
	if f.RetryAfter != "" {
		if _, err := strconv.ParseUint(string(f.RetryAfter), 10, 31); err != nil {
			if _, err := http.ParseTime(string(f.RetryAfter)); err != nil {
				return &fieldError{"retry_after", "want whole seconds or an HTTP date"}
			}
		}
	}
	return nil
}

func (f Fault) target() (method, path string) {
	method, path, two := strings.Cut(f.Match, " ")
	if !two {
		return "", method
	}
	return method, path
}

type activeFault struct {
	Fault
	method, path string
	left         int // strikes to go, when Times is set
}

// faultSet holds the faults that are switched on.
type faultSet struct {
	active atomic.Int64 // how many, so that the usual request takes no lock
	mu     sync.Mutex
	list   []*activeFault
	dice   *rand.Rand
}

func newFaultSet(seed uint64) *faultSet {
	if seed == 0 {
		seed = rand.Uint64()
	}
	return &faultSet{dice: rand.New(rand.NewPCG(seed, seed))}
}

func (s *faultSet) add(faults []Fault) error {
	for i, f := range faults {
		if err := f.check(); err != nil {
			return fmt.Errorf("fault %d: %w", i, err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range faults {
		a := &activeFault{Fault: f, left: f.Times}
		a.method, a.path = f.target()
		s.list = append(s.list, a)
	}
	s.active.Store(int64(len(s.list)))
	return nil
}

// reseed starts the dice anew.
func (s *faultSet) reseed(seed uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dice = rand.New(rand.NewPCG(seed, seed))
}

// chance throws the dice.
func (s *faultSet) chance(p float64) bool {
	if p <= 0 {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return p >= 1 || s.dice.Float64() < p
}

func (s *faultSet) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = nil
	s.active.Store(0)
}

// current lists what is left, Times being the strikes to go.
func (s *faultSet) current() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Fault, 0, len(s.list))
	for _, a := range s.list {
		f := a.Fault
		f.Times = a.left
		out = append(out, f)
	}
	return out
}

// plan is what happens to one request.
type plan struct {
	before, after time.Duration // to wait, on each side of the work
	speed, cut    int64         // of the body; 0 is as it comes
	strike        *Fault        // nil: the answer is the true one
}

func (s *faultSet) plan(method, path string, subject func() string) plan {
	if s.active.Load() == 0 {
		return plan{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var p plan
	spent := false
	for _, a := range s.list {
		if a.method != "" && a.method != method || !strings.HasPrefix(path, a.path) {
			continue
		}
		if a.Subject != "" && a.Subject != subject() {
			continue
		}
		if a.Probability > 0 && a.Probability < 1 && s.dice.Float64() >= a.Probability {
			continue
		}
		if a.Times > 0 {
			a.left--
			spent = spent || a.left == 0
		}
		wait := a.Latency
		if span := a.LatencyMax - a.Latency; a.LatencyMax > 0 && span > 0 {
			wait += time.Duration(s.dice.Int64N(int64(span) + 1))
		}
		if a.When == After {
			p.after += wait
		} else {
			p.before += wait
		}
		p.speed, p.cut = max(p.speed, a.BytesPerSecond), max(p.cut, a.Cut)
		if a.Status != nil {
			p.strike = &a.Fault
			break
		}
	}
	if spent {
		s.list = slices.DeleteFunc(s.list, func(a *activeFault) bool { return a.Times > 0 && a.left == 0 })
		s.active.Store(int64(len(s.list)))
	}
	return p
}
