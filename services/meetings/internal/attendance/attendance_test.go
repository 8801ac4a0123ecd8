package attendance_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/attendance"
)

// at is a minute of the day of the tests.
func at(minute int) time.Time { return time.Date(2026, 12, 1, 15, minute, 0, 0, time.UTC) }

func signedIn(user, name, email string) attendance.Seen {
	return attendance.Seen{Kind: attendance.SignedIn, GoogleUser: user, DisplayName: name, Email: email, JoinedAt: at(0), LeftAt: at(30)}
}

func anonymous(name string) attendance.Seen {
	return attendance.Seen{Kind: attendance.Anonymous, DisplayName: name, JoinedAt: at(1), LeftAt: at(29)}
}

func phone(name string) attendance.Seen {
	return attendance.Seen{Kind: attendance.Phone, DisplayName: name, JoinedAt: at(2), LeftAt: at(28)}
}

// The people of most tests: 1 is the organizer.
var (
	doctor = attendance.Invited{ID: 1, Email: "ana.gomez@clinic.example", Name: "Ana Gómez", GoogleUser: "users/100", Organizer: true}
	maria  = attendance.Invited{ID: 2, Email: "Maria.Perez@mail.example"}
	juan   = attendance.Invited{ID: 3, Email: "juan85@mail.example"}
)

func TestWhoIsWho(t *testing.T) {
	certain := func(id int64, why attendance.Reason) attendance.Match {
		return attendance.Match{Participant: id, Sureness: attendance.Certain, Reason: why}
	}
	named := func(id int64, how attendance.Sureness) attendance.Match {
		return attendance.Match{Participant: id, Sureness: how, Reason: attendance.DisplayName}
	}
	left := func(id int64) attendance.Match {
		return attendance.Match{Participant: id, Sureness: attendance.Possible, Reason: attendance.OnlyOneLeft}
	}
	nobody := attendance.Match{}
	otherMaria := attendance.Invited{ID: 4, Email: "maria.perez@work.example"}
	for name, c := range map[string]struct {
		invited []attendance.Invited
		seen    []attendance.Seen
		want    []attendance.Match
	}{
		"the directory's address is certain, whatever the case and the name": {
			[]attendance.Invited{doctor, maria, juan},
			[]attendance.Seen{signedIn("users/7", "Somebody Else", "maria.perez@MAIL.example")},
			[]attendance.Match{certain(2, attendance.Directory)},
		},
		"the account that owns the space is the organizer": {
			[]attendance.Invited{doctor, maria, juan},
			[]attendance.Seen{signedIn("users/100", "Sala 3", "")},
			[]attendance.Match{certain(1, attendance.Organizer)},
		},
		"a guest whose account's number is known": {
			[]attendance.Invited{{ID: 9, Email: "x@clinic.example", GoogleUser: "users/9"}, maria, juan},
			[]attendance.Seen{signedIn("users/9", "", "")},
			[]attendance.Match{certain(9, attendance.Directory)},
		},
		"an account whose address the directory told in one conference only": {
			[]attendance.Invited{doctor, maria, juan},
			[]attendance.Seen{signedIn("users/7", "M", "maria.perez@mail.example"), signedIn("users/7", "M", "")},
			[]attendance.Match{certain(2, attendance.Directory), certain(2, attendance.Directory)},
		},
		"a number that two of the invited have says nothing": {
			[]attendance.Invited{{ID: 8, Email: "a@x.example", GoogleUser: "users/9"}, {ID: 9, Email: "b@x.example", GoogleUser: "users/9"}},
			[]attendance.Seen{signedIn("users/9", "", "")},
			[]attendance.Match{nobody},
		},
		"a name that anybody may type is not certain, and a number is nothing on who is not signed in": {
			[]attendance.Invited{doctor, maria, juan},
			[]attendance.Seen{anonymous("María Pérez"), {Kind: attendance.Anonymous, GoogleUser: "users/100", Email: "juan85@mail.example", DisplayName: "zzz"}},
			[]attendance.Match{named(2, attendance.Likely), nobody},
		},
		"one person with three devices, in the second conference by phone": {
			[]attendance.Invited{doctor, maria},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), signedIn("users/7", "Maria Perez", ""), anonymous("PÉREZ, María"), anonymous("María  Pérez 2")},
			[]attendance.Match{certain(1, attendance.Organizer), named(2, attendance.Likely), named(2, attendance.Likely), named(2, attendance.Likely)},
		},
		"a part of a name is possible": {
			[]attendance.Invited{doctor, maria, juan},
			[]attendance.Seen{anonymous("María"), anonymous("Juan Restrepo")},
			[]attendance.Match{named(2, attendance.Possible), named(3, attendance.Possible)},
		},
		"two people of one name: it is neither": {
			[]attendance.Invited{doctor, maria, otherMaria, juan},
			[]attendance.Seen{anonymous("María Pérez")},
			[]attendance.Match{nobody},
		},
		"two people of one name, one of them known: it may be the other": {
			[]attendance.Invited{doctor, maria, otherMaria},
			[]attendance.Seen{signedIn("users/7", "María Pérez", "maria.perez@work.example"), anonymous("María Pérez")},
			[]attendance.Match{certain(4, attendance.Directory), named(2, attendance.Possible)},
		},
		"two people of one name, both known: a third device is neither's for sure, and no other's at all": {
			[]attendance.Invited{maria, otherMaria, juan},
			[]attendance.Seen{signedIn("users/7", "María Pérez", "maria.perez@work.example"), signedIn("users/8", "María Pérez", "maria.perez@mail.example"), anonymous("María Pérez")},
			[]attendance.Match{certain(4, attendance.Directory), certain(2, attendance.Directory), nobody},
		},
		"a full name goes before a part of one": {
			[]attendance.Invited{{ID: 5, Email: "maria@mail.example"}, maria},
			[]attendance.Seen{anonymous("María Pérez")},
			[]attendance.Match{named(2, attendance.Likely)},
		},
		"one left on each side": {
			[]attendance.Invited{doctor, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), anonymous("iPhone de mamá")},
			[]attendance.Match{certain(1, attendance.Organizer), left(3)},
		},
		"one left, in by phone": {
			[]attendance.Invited{doctor, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), phone("+57 3** *** **12")},
			[]attendance.Match{certain(1, attendance.Organizer), left(3)},
		},
		"one left, who came in twice": {
			[]attendance.Invited{doctor, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), anonymous("iPhone"), anonymous("IPHONE")},
			[]attendance.Match{certain(1, attendance.Organizer), left(3), left(3)},
		},
		"two strangers and one left": {
			[]attendance.Invited{doctor, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), anonymous("iPhone"), phone("+57 3** *** **12")},
			[]attendance.Match{certain(1, attendance.Organizer), nobody, nobody},
		},
		"one stranger and two left": {
			[]attendance.Invited{doctor, maria, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), anonymous("iPhone")},
			[]attendance.Match{certain(1, attendance.Organizer), nobody},
		},
		"who is only known from a notice is not told to be anybody, and neither is the stranger beside": {
			[]attendance.Invited{doctor, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), {JoinedAt: at(3)}, anonymous("iPhone")},
			[]attendance.Match{certain(1, attendance.Organizer), nobody, nobody},
		},
		"a colleague of another domain, by the directory, is not the one left": {
			[]attendance.Invited{doctor, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), signedIn("users/5", "Rosa Ruiz", "rosa@clinic.example")},
			[]attendance.Match{certain(1, attendance.Organizer), nobody},
		},
		"a colleague of another domain leaves the one stranger who is left": {
			[]attendance.Invited{doctor, juan},
			[]attendance.Seen{signedIn("users/100", "Ana", ""), signedIn("users/5", "Rosa Ruiz", "rosa@clinic.example"), anonymous("iPhone")},
			[]attendance.Match{certain(1, attendance.Organizer), nobody, left(3)},
		},
		"a name whose address is another's is possible at most": {
			[]attendance.Invited{doctor, maria, juan},
			[]attendance.Seen{signedIn("users/5", "María Pérez", "mperez@mail.example"), signedIn("users/6", "Juan", "juan@else.example")},
			[]attendance.Match{named(2, attendance.Possible), nobody},
		},
	} {
		t.Run(name, func(t *testing.T) {
			got := attendance.Matches(c.invited, c.seen)
			if !slices.Equal(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestNamesAreComparedAsPeopleWriteThem(t *testing.T) {
	const likely, possible, no = attendance.Likely, attendance.Possible, attendance.None
	for _, c := range []struct {
		email, name, shown string
		want               attendance.Sureness
	}{
		{"maria.perez@x.example", "", "María Pérez", likely},
		{"maria.perez@x.example", "", "PÉREZ, MARÍA", likely},
		{"maria_perez-85@x.example", "", "Mari\u0301a Pe\u0301rez", likely}, // decomposed
		{"maria.perez+citas@x.example", "", "Dra. María José Pérez Gómez", likely},
		{"mariaperez@x.example", "", "María Pérez", likely},
		{"perezmaria@x.example", "", "María Pérez", likely},
		{"maria.perez@x.example", "", "mariaperez", likely},
		{"maria.perez@x.example", "", "María", possible},
		{"maria@x.example", "", "María Pérez", possible},
		{"mperez@x.example", "", "María Pérez", possible},
		{"perezm@x.example", "", "María Pérez", possible},
		{"m.perez@x.example", "", "Pérez, María", possible},
		{"maria.perez@x.example", "", "M. Pérez", possible},
		{"maria.perez@x.example", "", "Juan Pérez", no},
		{"maria.perez@x.example", "", "J. Pérez", no},
		{"maria.perez@x.example", "", "Ana María", no},
		{"maria.perez@x.example", "", "", no},
		{"maria.perez@x.example", "", "...", no},
		{"maria.perez@x.example", "", "Mariana Perezoso", no},
		{"juan.de.la.cruz@x.example", "", "Juan de la Cruz", likely},
		{"de.la@x.example", "", "Ana de la Cruz", no},
		{"dr.garcia@x.example", "", "Doctor", no},
		{"dr.garcia@x.example", "", "Dr. García", possible},
		{"x1@x.example", "Ana Gómez", "Gómez Ana", likely},
		{"x1@x.example", "María Pérez Gómez", "María Gómez", likely},
		{"x1@x.example", "Seán O’Brien", "sean obrien", likely},
		{"sean.obrien@x.example", "", "Seán O'Brien", likely},
		{"juergen.mueller@x.example", "", "Jürgen Müller", likely},
		{"jurgen.muller@x.example", "", "Jürgen Müller", likely},
		{"lukasz.wozniak@x.example", "", "Łukasz Woźniak", likely},
		{"soren.strauss@x.example", "", "Søren Strauß", likely},
		{"иван.петров@x.example", "", "Петров Иван", likely},
		{"x1@x.example", "Γιώργος Παπαδόπουλος", "ΓΙΩΡΓΟΣ ΠΑΠΑΔΟΠΟΥΛΟΣ", likely},
		{"x1@x.example", "محمد علي", "علي محمد", likely},
		{"x1@x.example", "王小明", "王小明", likely},
		{"x1@x.example", "김민수", "김민수", likely},
		{"x1@x.example", "山田 太郎", "太郎 山田", likely},
		{"x1@x.example", "किरण शर्मा", "किरण शर्मा", likely},
		{"x1@x.example", "किरण", "करण", no}, // other vowels are another name
		{"x1@x.example", "王小明", "王大明", no},
		{"x1@x.example", "ＭＡＲＩＡ　ＰＥＲＥＺ", "maria perez", likely}, // full width
	} {
		t.Run(c.shown+" for "+c.name+" "+c.email, func(t *testing.T) {
			invited := []attendance.Invited{{ID: 1, Email: c.email, Name: c.name}, {ID: 2, Email: "zz@x.example"}}
			got := attendance.Matches(invited, []attendance.Seen{anonymous(c.shown)})[0]
			if got.Sureness != c.want {
				t.Errorf("got %q, want %q", got.Sureness, c.want)
			}
			if want := map[bool]int64{true: 1}[c.want != no]; got.Participant != want {
				t.Errorf("matched participant %d, want %d", got.Participant, want)
			}
		})
	}
}

func TestPresenceClaimsNoMoreThanIsLikely(t *testing.T) {
	invited := []attendance.Invited{doctor, maria, juan}
	joined, left := at(0), at(30)
	for name, c := range map[string]struct {
		seen []attendance.Seen
		over bool
		want [3]attendance.State
	}{
		"nobody yet":            {nil, false, [3]attendance.State{attendance.Pending, attendance.Pending, attendance.Pending}},
		"nobody at all":         {nil, true, [3]attendance.State{attendance.NoShow, attendance.NoShow, attendance.NoShow}},
		"one, and it goes on":   {[]attendance.Seen{signedIn("users/100", "Ana", "")}, false, [3]attendance.State{attendance.Attended, attendance.Pending, attendance.Pending}},
		"the organizer alone":   {[]attendance.Seen{signedIn("users/100", "Ana", "")}, true, [3]attendance.State{attendance.Attended, attendance.NoShow, attendance.NoShow}},
		"a stranger":            {[]attendance.Seen{signedIn("users/100", "Ana", ""), anonymous("iPhone")}, true, [3]attendance.State{attendance.Attended, attendance.Unsure, attendance.Unsure}},
		"a first name":          {[]attendance.Seen{anonymous("María")}, true, [3]attendance.State{attendance.NoShow, attendance.Unsure, attendance.NoShow}},
		"a full name":           {[]attendance.Seen{anonymous("Maria Perez")}, true, [3]attendance.State{attendance.NoShow, attendance.Attended, attendance.NoShow}},
		"a colleague":           {[]attendance.Seen{signedIn("users/5", "Rosa", "rosa@clinic.example")}, true, [3]attendance.State{attendance.Unsure, attendance.NoShow, attendance.NoShow}},
		"only a notice of some": {[]attendance.Seen{{}}, true, [3]attendance.State{attendance.Unsure, attendance.Unsure, attendance.Unsure}},
	} {
		t.Run(name, func(t *testing.T) {
			got := attendance.Presences(invited, c.seen, attendance.Matches(invited, c.seen), c.over)
			for i, p := range got {
				if p.State != c.want[i] {
					t.Errorf("participant %d is %v, want %v", invited[i].ID, p.State, c.want[i])
				}
				if p.State == attendance.Attended {
					continue
				}
				if !p.JoinedAt.IsZero() || !p.LeftAt.IsZero() {
					t.Errorf("participant %d, %v, was there from %v to %v", invited[i].ID, p.State, p.JoinedAt, p.LeftAt)
				}
			}
			if p := got[0]; p.State == attendance.Attended && (!p.JoinedAt.Equal(joined) || !p.LeftAt.Equal(left)) {
				t.Errorf("the organizer was there from %v to %v, want %v to %v", p.JoinedAt, p.LeftAt, joined, left)
			}
		})
	}
}

func TestTimesAreTheFirstJoinAndTheLastLeave(t *testing.T) {
	invited := []attendance.Invited{maria}
	seen := []attendance.Seen{anonymous("María Pérez"), signedIn("users/7", "", "maria.perez@mail.example"), anonymous("María")}
	seen[0].JoinedAt, seen[0].LeftAt = at(5), at(50)
	seen[1].JoinedAt, seen[1].LeftAt = at(3), at(40)
	seen[2].JoinedAt, seen[2].LeftAt = at(1), at(59) // merely possible
	matches := attendance.Matches(invited, seen)
	p := attendance.Presences(invited, seen, matches, true)[0]
	if want := (attendance.Presence{State: attendance.Attended, Sureness: attendance.Certain, JoinedAt: at(3), LeftAt: at(50)}); p != want {
		t.Errorf("got %+v, want %+v", p, want)
	}
	seen[1].LeftAt = time.Time{} // still in the room with that device
	if p = attendance.Presences(invited, seen, matches, false)[0]; !p.LeftAt.IsZero() {
		t.Errorf("who is in the room has left at %v", p.LeftAt)
	}
}

func TestAMeetingIsOverWhenItsPeopleAreKnown(t *testing.T) {
	end := at(30)
	ended, running, unread := attendance.Held{Ended: true, PeopleRead: true}, attendance.Held{}, attendance.Held{Ended: true}
	for name, c := range map[string]struct {
		now, end  time.Time
		cancelled bool
		held      []attendance.Held
		want      bool
	}{
		"before its end":                        {at(29), end, false, []attendance.Held{ended}, false},
		"at its end":                            {at(30), end, false, []attendance.Held{ended}, true},
		"overrunning":                           {at(59), end, false, []attendance.Held{ended, running}, false},
		"its people unread":                     {at(59), end, false, []attendance.Held{unread}, false},
		"no time set, held":                     {at(0), time.Time{}, false, []attendance.Held{ended}, true},
		"no time set, not held":                 {at(0), time.Time{}, false, nil, false},
		"nobody came, still watched":            {end.Add(attendance.Watch - 1), end, false, nil, false},
		"nobody came":                           {end.Add(attendance.Watch), end, false, nil, true},
		"cancelled and not held":                {end.Add(attendance.Watch), end, true, nil, false},
		"held before its time, then called off": {at(1), end, true, []attendance.Held{ended}, true},
	} {
		if got := attendance.Over(c.now, c.end, c.cancelled, c.held); got != c.want {
			t.Errorf("%s: over is %v, want %v", name, got, c.want)
		}
	}
}

func TestWordsOnTheWireParseBack(t *testing.T) {
	for k := attendance.Unknown; k <= attendance.Phone; k++ {
		if got, err := attendance.ParseKind(k.String()); err != nil || got != k {
			t.Errorf("kind %q parses to %v, %v", k, got, err)
		}
	}
	for s := attendance.None; s <= attendance.Certain; s++ {
		if got, err := attendance.ParseSureness(s.String()); err != nil || got != s {
			t.Errorf("sureness %q parses to %v, %v", s, got, err)
		}
	}
	if _, err := attendance.ParseKind("ghost"); err == nil {
		t.Error("a kind that is not there parses")
	}
	if _, err := attendance.ParseSureness("quite"); err == nil {
		t.Error("a sureness that is not there parses")
	}
}

// words that names of the random meetings are made of: few, so that they collide.
var pieces = []string{"maria", "María", "perez", "PÉREZ", "juan", "de", "la", "m", "j.", "Dr.", "王小明", "иван", "петров", "ß", "85", "", ",", "mperez", "mariaperez", "محمد"}

func random(r *rand.Rand) (invited []attendance.Invited, seen []attendance.Seen) {
	name := func(sep string) string {
		var w []string
		for range r.IntN(4) {
			w = append(w, pieces[r.IntN(len(pieces))])
		}
		return strings.Join(w, sep)
	}
	email := func() string { return fmt.Sprintf("%s@%c.example", name("."), 'a'+rune(r.IntN(2))) }
	user := func() string { return []string{"", "users/1", "users/2", "users/3"}[r.IntN(4)] }
	for i := range r.IntN(6) {
		in := attendance.Invited{ID: int64(i + 1), Email: email(), GoogleUser: user(), Organizer: i == 0}
		if r.IntN(2) == 0 {
			in.Name = name(" ")
		}
		invited = append(invited, in)
	}
	for range r.IntN(7) {
		s := attendance.Seen{Kind: attendance.Kind(r.IntN(4)), DisplayName: name(" "), JoinedAt: at(r.IntN(30)), LeftAt: at(30 + r.IntN(30))}
		if s.Kind == attendance.SignedIn {
			s.GoogleUser = user()
			if r.IntN(3) == 0 {
				s.Email = email()
			}
			if r.IntN(3) == 0 && len(invited) > 0 {
				s.Email = invited[r.IntN(len(invited))].Email
			}
		}
		seen = append(seen, s)
	}
	return invited, seen
}

func TestNeitherOrderNorRepetitionChangesAMatch(t *testing.T) {
	for seed := range uint64(20_000) {
		r := rand.New(rand.NewPCG(seed, 1))
		invited, seen := random(r)
		want := attendance.Matches(invited, seen)
		check(t, invited, seen, want)
		inOrder, seenOrder := r.Perm(len(invited)), r.Perm(len(seen))
		invited2, seen2 := make([]attendance.Invited, len(invited)), make([]attendance.Seen, len(seen))
		for to, from := range inOrder {
			invited2[to] = invited[from]
		}
		for to, from := range seenOrder {
			seen2[to] = seen[from]
		}
		got := attendance.Matches(invited2, seen2)
		states, states2 := attendance.Presences(invited, seen, want, true), attendance.Presences(invited2, seen2, got, true)
		for to, from := range seenOrder {
			if got[to] != want[from] {
				t.Fatalf("seed %d: %+v is %+v, in another order %+v\ninvited %+v\nseen %+v", seed, seen[from], want[from], got[to], invited, seen)
			}
		}
		for to, from := range inOrder {
			if states2[to] != states[from] {
				t.Fatalf("seed %d: participant %d is %+v, in another order %+v", seed, invited[from].ID, states[from], states2[to])
			}
		}
	}
}

// check says what holds of every answer.
func check(t *testing.T, invited []attendance.Invited, seen []attendance.Seen, got []attendance.Match) {
	t.Helper()
	if len(got) != len(seen) {
		t.Fatalf("%d answers for %d people", len(got), len(seen))
	}
	surely := make(map[int64]bool)
	for i, m := range got {
		if m.Sureness == attendance.None {
			if m != (attendance.Match{}) {
				t.Fatalf("no match says %+v", m)
			}
			continue
		}
		if !slices.ContainsFunc(invited, func(in attendance.Invited) bool { return in.ID == m.Participant }) {
			t.Fatalf("%+v names nobody of %+v", m, invited)
		}
		if (m.Sureness == attendance.Certain) != (m.Reason == attendance.Directory || m.Reason == attendance.Organizer) {
			t.Fatalf("%+v: only the directory and the number of the account make certain", m)
		}
		if m.Sureness == attendance.Certain && seen[i].Kind != attendance.SignedIn {
			t.Fatalf("%+v of %+v, who is not signed in", m, seen[i])
		}
		if m.Reason == attendance.OnlyOneLeft && m.Sureness != attendance.Possible {
			t.Fatalf("%+v: who is left over is possible", m)
		}
		if m.Sureness >= attendance.Likely {
			surely[m.Participant] = true
		}
	}
	for i, p := range attendance.Presences(invited, seen, got, true) {
		if (p.State == attendance.Attended) != surely[invited[i].ID] {
			t.Fatalf("participant %d is %v with the matches %+v", invited[i].ID, p.State, got)
		}
		if p.State == attendance.Pending {
			t.Fatalf("participant %d is pending after the end", invited[i].ID)
		}
	}
}

func FuzzMatches(f *testing.F) {
	f.Add("maria.perez@x.example", "María Pérez", "juan@x.example", "", "PÉREZ, María", "maria.perez@x.example", byte(1))
	f.Add("иван.петров@x.example", "Иван Петров", "王小明@x.example", "王小明", "王小明", "", byte(2))
	f.Add("m.o'brien+x@x.example", "Seán O’Brien", "", "́̂ ", "Łukasz ﷺ İ", "\xff@", byte(1))
	f.Add("a.b.c.d.e.f.g.h.i.j.k.l.m.n@x.example", "de la de la", "de.la@x.example", "Müller", "Mueller Müller", "@", byte(3))
	f.Fuzz(func(t *testing.T, email1, name1, email2, name2, shown, told string, kind byte) {
		invited := []attendance.Invited{{ID: 1, Email: email1, Name: name1, Organizer: true}, {ID: 2, Email: email2, Name: name2}}
		seen := []attendance.Seen{
			{Kind: attendance.Kind(kind % 4), DisplayName: shown, Email: told, GoogleUser: "users/1", JoinedAt: at(1)},
			{Kind: attendance.Anonymous, DisplayName: name2, JoinedAt: at(2), LeftAt: at(3)},
		}
		if seen[0].Kind != attendance.SignedIn {
			seen[0].Email, seen[0].GoogleUser = "", ""
		}
		got := attendance.Matches(invited, seen)
		check(t, invited, seen, got)
		slices.Reverse(invited)
		slices.Reverse(seen)
		again := attendance.Matches(invited, seen)
		slices.Reverse(again)
		if !slices.Equal(got, again) {
			t.Fatalf("got %+v, in another order %+v", got, again)
		}
	})
}
