package audit_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
)

var noon = time.Date(2026, time.November, 24, 12, 0, 0, 123456000, time.UTC)

func entry() audit.Entry {
	return audit.Entry{
		At: noon, Principal: "key:mm_live_abc", Role: "service", Credential: "key", Action: "meeting.update", SubjectKind: audit.Meeting, SubjectID: "12",
		RequestID: "r<1>&\"", RemoteAddr: "192.0.2.1", Outcome: audit.OK, Before: audit.Fields{"status": "CREATED", "b": int64(1)}, After: audit.Fields{"status": "CANCELLED", "a": true},
	}
}

func TestALineIsCanonical(t *testing.T) {
	e := entry()
	line, err := e.Line()
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"action":"meeting.update","after":{"a":true,"status":"CANCELLED"},"at":"2026-11-24T12:00:00.123456Z","before":{"b":1,"status":"CREATED"},` +
		`"credential":"key","outcome":"ok","principal":"key:mm_live_abc","remote_addr":"192.0.2.1","request_id":"r<1>&\"","role":"service","subject_id":"12","subject_kind":"meeting"}`
	if line != want {
		t.Errorf("got\n%s\nwant\n%s", line, want)
	}
	e.At = e.At.In(time.FixedZone("", 3600))
	if again, _ := e.Line(); again != line {
		t.Errorf("another zone writes %s", again)
	}
	back, err := audit.ParseLine(line)
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := back.Line(); again != line {
		t.Errorf("read and written again: %s", again)
	}
}

// chain is a good chain of n entries.
func chain(n int) []audit.Stored {
	previous := audit.Origin()
	out := make([]audit.Stored, 0, n)
	for i := range n {
		e := entry()
		e.At, e.SubjectID = noon.Add(time.Duration(i)*time.Second), fmt.Sprint(i)
		line, err := e.Line()
		if err != nil {
			panic(err)
		}
		seq := int64(i + 1)
		s := audit.Stored{Seq: seq, At: e.At, Principal: e.Principal, Action: e.Action, SubjectKind: e.SubjectKind, SubjectID: e.SubjectID, Outcome: string(e.Outcome), Line: line, Previous: previous}
		s.Hash = audit.Next(previous, seq, line)
		previous = s.Hash
		out = append(out, s)
	}
	return out
}

// check is where the chain breaks; nil where it does not.
func check(entries []audit.Stored) *audit.Fault {
	c := audit.Checker{Hash: audit.Origin()}
	for i := range entries {
		if bad := c.Check(&entries[i]); bad != nil {
			return bad
		}
	}
	return nil
}

func TestEveryChangeByHandIsFoundWhereItWasMade(t *testing.T) {
	if bad := check(chain(20)); bad != nil {
		t.Fatalf("a good chain: %+v", bad)
	}
	for name, c := range map[string]struct {
		do     func(s []audit.Stored) []audit.Stored
		seq    int64
		reason string
	}{
		"a line": {func(s []audit.Stored) []audit.Stored {
			s[7].Line = strings.Replace(s[7].Line, "CANCELLED", "FINISHED", 1)
			return s
		}, 8, "hash"},
		"a space":       {func(s []audit.Stored) []audit.Stored { s[7].Line += " "; return s }, 8, "hash"},
		"who":           {func(s []audit.Stored) []audit.Stored { s[7].Principal = "user:1"; return s }, 8, "columns"},
		"when":          {func(s []audit.Stored) []audit.Stored { s[7].At = noon; return s }, 8, "columns"},
		"what":          {func(s []audit.Stored) []audit.Stored { s[7].Action = "meeting.cancel"; return s }, 8, "columns"},
		"of which kind": {func(s []audit.Stored) []audit.Stored { s[7].SubjectKind = "user"; return s }, 8, "columns"},
		"of what":       {func(s []audit.Stored) []audit.Stored { s[7].SubjectID = "99"; return s }, 8, "columns"},
		"outcome":       {func(s []audit.Stored) []audit.Stored { s[7].Outcome = "denied"; return s }, 8, "columns"},
		"a line and its hash": {func(s []audit.Stored) []audit.Stored {
			s[7].Line = strings.Replace(s[7].Line, "CANCELLED", "FINISHED", 1)
			s[7].Hash = audit.Next(s[7].Previous, 8, s[7].Line)
			return s
		}, 9, "chain"},
		"a row left out":   {func(s []audit.Stored) []audit.Stored { return append(s[:7], s[8:]...) }, 8, "gap"},
		"two rows swapped": {func(s []audit.Stored) []audit.Stored { s[7], s[8] = s[8], s[7]; return s }, 8, "gap"},
		"two rows swapped with their numbers": {func(s []audit.Stored) []audit.Stored {
			s[7], s[8] = s[8], s[7]
			s[7].Seq, s[8].Seq = 8, 9
			return s
		}, 8, "chain"},
		"the first row": {func(s []audit.Stored) []audit.Stored { return s[1:] }, 1, "gap"},
		"no JSON": {func(s []audit.Stored) []audit.Stored {
			s[7].Line = "x"
			s[7].Hash = audit.Next(s[7].Previous, 8, "x")
			return s
		}, 8, "columns"},
	} {
		t.Run(name, func(t *testing.T) {
			if bad := check(c.do(chain(20))); bad == nil || bad.Seq != c.seq || bad.Reason != c.reason || bad.Text == "" {
				t.Errorf("found %+v, want %s at %d", bad, c.reason, c.seq)
			}
		})
	}
}

func TestAnyFlippedBitOfAnyEntryIsFound(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		s := chain(30)
		at := r.IntN(len(s))
		e := &s[at]
		switch r.IntN(3) {
		case 0:
			raw := []byte(e.Line)
			raw[r.IntN(len(raw))] ^= 1 << r.IntN(8)
			e.Line = string(raw)
		case 1:
			e.Hash[r.IntN(len(e.Hash))] ^= 1 << r.IntN(8)
		case 2:
			e.Previous[r.IntN(len(e.Previous))] ^= 1 << r.IntN(8)
		}
		if bad := check(s); bad == nil || bad.Seq != int64(at+1) {
			t.Fatalf("seed %d: entry %d was changed, found %+v", seed, at+1, bad)
		}
	}
}

func TestPseudonymsTellNothingAndStayTheSame(t *testing.T) {
	m, other := audit.NewMask([]byte("one")), audit.NewMask([]byte("two"))
	p := m.Person("ana@mail.example")
	switch {
	case p != m.Person("ana@mail.example"):
		t.Error("two pseudonyms of one person")
	case p == m.Person("bob@mail.example"), p == other.Person("ana@mail.example"), strings.Contains(p, "ana"):
		t.Errorf("pseudonym %q", p)
	case m.Person("") != "" || m.Text("") != "":
		t.Error("nothing has a pseudonym")
	case m.Text("ana@mail.example") == p || !strings.HasSuffix(m.Text("abc"), ":3"):
		t.Errorf("digest %q", m.Text("abc"))
	}
}

func TestADifferenceIsWhatOnlyOneSideHas(t *testing.T) {
	before, after := audit.Diff(
		audit.Fields{"same": 1, "changed": "a", "list": []string{"x", "y"}, "gone": true},
		audit.Fields{"same": 1, "changed": "b", "list": []string{"y", "z"}, "new": "n", "empty": ""})
	if !reflect.DeepEqual(before, audit.Fields{"changed": "a", "list": []string{"x"}, "gone": true}) ||
		!reflect.DeepEqual(after, audit.Fields{"changed": "b", "list": []string{"z"}, "new": "n"}) {
		t.Errorf("before %v, after %v", before, after)
	}
}

func FuzzAnEntryIsReadAsItWasWritten(f *testing.F) {
	f.Add("p", "r\u2028<", "x\ufffd")
	f.Fuzz(func(t *testing.T, principal, request, text string) {
		if !utf8.ValidString(principal) || !utf8.ValidString(request) || !utf8.ValidString(text) {
			return // the bus lets none through
		}
		e := audit.Entry{At: noon, Principal: principal, Action: "a", RequestID: request, Outcome: audit.Refused, After: audit.Fields{"t": text}}
		line, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		back, err := audit.ParseLine(line)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if again, err := back.Line(); err != nil || again != line || strings.ContainsAny(line, "\n\x00") {
			t.Errorf("%q became %q, %v", line, again, err)
		}
	})
}
