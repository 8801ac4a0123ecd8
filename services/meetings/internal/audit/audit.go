// Package audit holds the form of the audit log: what an entry says, how it is written down so that it can be hashed, how
// entries are chained, and what stands in it for people and texts. It does no I/O.
package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Outcome is what became of an attempt. The zero Outcome is invalid.
type Outcome string

// The outcomes.
const (
	OK Outcome = "ok"
	// Refused: a rule forbade it.
	Refused Outcome = "refused"
	// Denied: the caller may not, or is not known.
	Denied Outcome = "denied"
)

// The kinds of subject.
const (
	Meeting   = "meeting"
	User      = "user"
	Key       = "key"
	Session   = "session"
	Recording = "recording"
	Person    = "person"
	Database  = "database"
	// Request is what was turned away before it was known what it is about.
	Request = "request"
)

// Fields are what differs, by name: texts, numbers, flags, lists of texts. People are pseudonyms ([Mask.Person]), texts that
// somebody wrote are digests ([Mask.Text]), secrets are not among them.
type Fields map[string]any

// JSON is an object with the names sorted; empty for none.
func (f Fields) JSON() (string, error) {
	if len(f) == 0 {
		return "", nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(f); err != nil {
		return "", fmt.Errorf("write fields: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// Entry is one attempt to change something. Its texts are valid UTF-8.
type Entry struct {
	At          time.Time
	Principal   string
	Role        string
	Credential  string
	Action      string
	SubjectKind string
	SubjectID   string
	RequestID   string
	RemoteAddr  string
	Outcome     Outcome
	Reason      string
	// Before and After hold what differs.
	Before, After Fields
	// Count is how many attempts alike it stands for; 0 is 1.
	Count int64
}

// line has the names in the order of their bytes, as RFC 8785 §3.2.3 has it.
type line struct {
	Action      string `json:"action"`
	After       Fields `json:"after,omitempty"`
	At          string `json:"at"`
	Before      Fields `json:"before,omitempty"`
	Count       int64  `json:"count,omitempty"`
	Credential  string `json:"credential,omitempty"`
	Outcome     string `json:"outcome"`
	Principal   string `json:"principal"`
	Reason      string `json:"reason,omitempty"`
	RemoteAddr  string `json:"remote_addr,omitempty"`
	RequestID   string `json:"request_id,omitempty"`
	Role        string `json:"role,omitempty"`
	SubjectID   string `json:"subject_id,omitempty"`
	SubjectKind string `json:"subject_kind,omitempty"`
}

// timeLayout is RFC 3339 in UTC with microseconds.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// Line is the entry as canonical JSON: one line, names sorted, no spaces, times in UTC to the microsecond.
func (e *Entry) Line() (string, error) {
	l := line{
		Action: e.Action, After: e.After, At: e.At.UTC().Format(timeLayout), Before: e.Before, Credential: e.Credential, Outcome: string(e.Outcome),
		Principal: e.Principal, Reason: e.Reason, RemoteAddr: e.RemoteAddr, RequestID: e.RequestID, Role: e.Role, SubjectID: e.SubjectID, SubjectKind: e.SubjectKind,
	}
	if e.Count > 1 {
		l.Count = e.Count
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(l); err != nil {
		return "", fmt.Errorf("write an audit line: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// ParseLine is the inverse of [Entry.Line].
func ParseLine(text string) (Entry, error) {
	var l line
	dec := json.NewDecoder(strings.NewReader(text))
	dec.DisallowUnknownFields()
	dec.UseNumber()
	if err := dec.Decode(&l); err != nil {
		return Entry{}, fmt.Errorf("read an audit line: %w", err)
	}
	if dec.More() {
		return Entry{}, errors.New("read an audit line: more than one value")
	}
	at, err := time.Parse(timeLayout, l.At)
	if err != nil {
		return Entry{}, fmt.Errorf("read an audit line: %w", err)
	}
	return Entry{
		At: at, Principal: l.Principal, Role: l.Role, Credential: l.Credential, Action: l.Action, SubjectKind: l.SubjectKind, SubjectID: l.SubjectID,
		RequestID: l.RequestID, RemoteAddr: l.RemoteAddr, Outcome: Outcome(l.Outcome), Reason: l.Reason, Before: l.Before, After: l.After, Count: l.Count,
	}, nil
}

// Hash is a link of the chain.
type Hash [sha256.Size]byte

// String is hex.
func (h Hash) String() string { return hex.EncodeToString(h[:]) }

// ParseHash is the inverse of String.
func ParseHash(s string) (Hash, error) {
	raw, err := hex.DecodeString(s)
	if err != nil || len(raw) != sha256.Size {
		return Hash{}, errors.New("a hash is 64 hexadecimal digits")
	}
	return Hash(raw), nil
}

// Origin is the hash before the first entry: that of nothing.
func Origin() Hash { return sha256.Sum256(nil) }

// Next is the hash of an entry: SHA-256 over the hash before it, its sequence in decimal, a space and its line.
func Next(previous Hash, seq int64, line string) Hash {
	h := sha256.New()
	h.Write(previous[:])
	h.Write(strconv.AppendInt(nil, seq, 10))
	h.Write([]byte{' '})
	h.Write([]byte(line))
	return Hash(h.Sum(nil))
}

// Stored is an entry as it is kept, with the columns that it is found by.
type Stored struct {
	Seq                                                int64
	At                                                 time.Time
	Principal, Action, SubjectKind, SubjectID, Outcome string
	Line                                               string
	Previous, Hash                                     Hash
}

// Fault is why an entry is not as it was written.
type Fault struct {
	Seq int64
	// Reason is gap, chain, hash, columns, head or anchor.
	Reason string
	Text   string
}

// Checker follows the chain.
type Checker struct {
	Seq  int64
	Hash Hash
}

// Check takes the next entry; a fault when it is not as it was written, and then it is not taken.
func (c *Checker) Check(s *Stored) *Fault {
	bad := func(reason, format string, args ...any) *Fault {
		return &Fault{Seq: c.Seq + 1, Reason: reason, Text: fmt.Sprintf(format, args...)}
	}
	switch {
	case s.Seq != c.Seq+1:
		return bad("gap", "entry %d is missing: %d follows %d", c.Seq+1, s.Seq, c.Seq)
	case s.Previous != c.Hash:
		return bad("chain", "entry %d does not follow the one before it", s.Seq)
	case Next(s.Previous, s.Seq, s.Line) != s.Hash:
		return bad("hash", "entry %d is not what was hashed", s.Seq)
	}
	e, err := ParseLine(s.Line)
	if err != nil {
		return bad("columns", "entry %d has a line that does not read: %v", s.Seq, err)
	}
	for _, column := range []struct{ name, have, want string }{
		{"at", s.At.UTC().Format(timeLayout), e.At.Format(timeLayout)},
		{"principal", s.Principal, e.Principal},
		{"action", s.Action, e.Action},
		{"subject_kind", s.SubjectKind, e.SubjectKind},
		{"subject_id", s.SubjectID, e.SubjectID},
		{"outcome", s.Outcome, string(e.Outcome)},
	} {
		if column.have != column.want {
			return bad("columns", "entry %d says another %s in its column than in its line", s.Seq, column.name)
		}
	}
	c.Seq, c.Hash = s.Seq, s.Hash
	return nil
}

// Mask makes pseudonyms under a key of the installation. The zero Mask must not be used.
type Mask struct{ key []byte }

// NewMask makes a mask from a secret.
func NewMask(key []byte) Mask { return Mask{bytes.Clone(key)} }

func (m Mask) digest(kind, text string) string {
	h := hmac.New(sha256.New, m.key)
	h.Write([]byte(kind))
	h.Write([]byte{0})
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil)[:12])
}

// Person stands for an address or a name of somebody. It is the same wherever that is named, so that entries about a person can
// be found by whoever knows the address, and nobody can read the address out of it.
func (m Mask) Person(key string) string {
	if key == "" {
		return ""
	}
	return "person:" + m.digest("person", key)
}

// People is [Mask.Person] of each.
func (m Mask) People(keys []string) []string {
	out := make([]string, 0, len(keys))
	for _, k := range keys {
		out = append(out, m.Person(k))
	}
	return out
}

// Text stands for what somebody wrote: it shows that it changed and how long it is, and proves what it was to whoever has it.
func (m Mask) Text(s string) string {
	if s == "" {
		return ""
	}
	return "text:" + m.digest("text", s) + ":" + strconv.Itoa(len(s))
}

// Diff leaves in both what differs. Of a list it leaves what only one of them has.
func Diff(before, after Fields) (Fields, Fields) {
	was, is := Fields{}, Fields{}
	for name := range maps.All(before) {
		if _, both := after[name]; !both {
			was[name] = before[name]
		}
	}
	for name, now := range after {
		old, both := before[name]
		if !both {
			if !reflect.ValueOf(now).IsZero() {
				is[name] = now
			}
			continue
		}
		if reflect.DeepEqual(old, now) {
			continue
		}
		oldList, wasList := old.([]string)
		nowList, isList := now.([]string)
		if wasList && isList {
			was[name], is[name] = without(oldList, nowList), without(nowList, oldList)
			continue
		}
		was[name], is[name] = old, now
	}
	return was, is
}

func without(all, those []string) []string {
	gone := make(map[string]struct{}, len(those))
	for _, s := range those {
		gone[s] = struct{}{}
	}
	out := []string{}
	for _, s := range all {
		if _, in := gone[s]; !in {
			out = append(out, s)
		}
	}
	return out
}
