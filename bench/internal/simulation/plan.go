package simulation

import (
	"fmt"
	"math/rand/v2"
	"time"
)

// Kinds of what becomes of a meeting, by the plan.
const (
	kindUsual       = "recorded"
	kindNotHeld     = "nobody came"
	kindCancelled   = "cancelled"
	kindUnrecorded  = "not to be recorded"
	kindNever       = "recording never started"
	kindStops       = "recording stopped half way"
	kindTwo         = "two recordings"
	kindLost        = "file never generated"
	kindSlow        = "file hours late"
	kindTrashed     = "file trashed before it was copied"
	kindDeleted     = "file deleted before it was copied"
	kindSecond      = "second conference"
	kindUnlicensed  = "organizer without the licence to record"
	kindMovedLive   = "moved while people were in the room"
	kindMovedBefore = "moved before"
)

// chances of each kind in a thousand; the rest is usual.
func chances() []struct {
	kind  string
	share int
} {
	return []struct {
		kind  string
		share int
	}{
		{kindNotHeld, 40},
		{kindCancelled, 20},
		{kindUnrecorded, 20},
		{kindNever, 20},
		{kindStops, 10},
		{kindTwo, 10},
		{kindLost, 5},
		{kindSlow, 20},
		{kindTrashed, 5},
		{kindDeleted, 5},
		{kindSecond, 30},
		{kindMovedLive, 10},
		{kindMovedBefore, 30},
	}
}

// visit is a meeting as its people mean it.
type visit struct {
	number    int
	organizer string
	invited   []string
	kind      string
	event     bool // with a calendar event; else a bare space
	record    bool
	made      time.Time // when it is created
	start     time.Time // as last agreed before it begins
	end       time.Time
	first     time.Time // start as created, where it is moved before
	opens     time.Time // when the first person comes
	closes    time.Time // when the last one leaves
	moveAt    time.Time // when it is moved, or called off
	again     time.Time // when the second conference begins
	fileAfter time.Duration
	fateAfter time.Duration

	id      int64  // once it is created
	space   string // once it is known
	noSpace bool   // there was none while people would have met
}

func (v *visit) reference() string { return fmt.Sprintf("visit-%06d", v.number) }

// held tells whether people come.
func (v *visit) held() bool { return v.kind != kindNotHeld && v.kind != kindCancelled }

const domain = "clinic.example"

func organizer(n int) string { return fmt.Sprintf("doctor%03d@%s", n, domain) }

// unlicensed is the one organizer of these who may not record.
func unlicensed(organizers int) string {
	if organizers < 100 {
		return ""
	}
	return organizer(organizers - 1)
}

const (
	firstHour = 8
	hours     = 10 // of a working day
	leadMost  = 7 * 24 * time.Hour
)

// plan makes up the meetings of so many days from start on, which is a midnight. Nobody has two in one hour.
func plan(o Options, start time.Time) []*visit {
	dice := rand.New(rand.NewPCG(o.Seed, 5)) //nolint:gosec // makes up data
	minutes := func(from, to int) time.Duration {
		return time.Duration(from*60+dice.IntN((to-from)*60+1)) * time.Second
	}
	taken := make(map[string]bool, o.Meetings)
	visits := make([]*visit, 0, o.Meetings)
	// Where there is hardly a slot left, a second meeting in an hour is what life is like.
	for tries := 0; len(visits) < o.Meetings; tries++ {
		who, day, hour := dice.IntN(o.Organizers), dice.IntN(o.Days), dice.IntN(hours)
		slot := fmt.Sprint(who, "/", day, "/", hour)
		if taken[slot] && tries < 20*o.Meetings {
			continue
		}
		taken[slot] = true
		v := &visit{number: len(visits) + 1, organizer: organizer(who), kind: kindUsual, event: dice.Float64() >= o.Bare, record: true}
		v.start = start.AddDate(0, 0, day).Add(time.Duration(firstHour+hour)*time.Hour + time.Duration(dice.IntN(4)*5)*time.Minute)
		v.end = v.start.Add(time.Duration(20+10*dice.IntN(3)) * time.Minute)
		for i := range 1 + dice.IntN(2) {
			v.invited = append(v.invited, fmt.Sprintf("patient%05d.%d@mail.example", v.number, i))
		}
		v.made = v.start.Add(-2*time.Hour - time.Duration(dice.Int64N(int64(leadMost))))
		if v.made.Before(start) {
			v.made = start.Add(time.Duration(dice.Int64N(int64(5 * time.Hour))))
		}
		roll := dice.IntN(1000)
		for _, c := range chances() {
			if roll -= c.share; roll < 0 {
				v.kind = c.kind
				break
			}
		}
		if v.organizer == unlicensed(o.Organizers) && v.kind != kindCancelled && v.kind != kindNotHeld && v.kind != kindUnrecorded {
			v.kind = kindUnlicensed
		}
		v.record = v.kind != kindUnrecorded
		v.opens, v.closes = v.start.Add(-minutes(0, 4)), v.end.Add(minutes(-5, 5))
		switch dice.IntN(20) {
		case 0: // early
			v.opens = v.start.Add(-minutes(8, 14))
		case 1, 2: // late
			v.opens = v.start.Add(minutes(3, 12))
		case 3, 4: // overruns
			v.closes = v.end.Add(minutes(10, 75))
		}
		v.fileAfter = minutes(1, 8)
		switch v.kind {
		case kindSlow:
			v.fileAfter = minutes(30, 6*60)
		case kindTrashed, kindDeleted:
			v.fateAfter = time.Duration(1+dice.IntN(20)) * time.Second
		case kindSecond:
			v.again = v.closes.Add(minutes(10, 60))
		case kindMovedBefore:
			v.first = v.start.Add(time.Duration(1+dice.IntN(48)) * time.Hour)
			v.moveAt = v.made.Add(time.Duration(dice.Int64N(int64(v.start.Sub(v.made) - time.Hour))))
		case kindCancelled:
			v.moveAt = v.made.Add(time.Duration(dice.Int64N(int64(v.start.Sub(v.made) - 30*time.Minute))))
		case kindMovedLive:
			v.moveAt = v.opens.Add(minutes(6, 12))
		}
		visits = append(visits, v)
	}
	return visits
}

// script is what the emulator is told of a conference.
type script struct {
	Space     string         `json:"space"`
	Starts    time.Time      `json:"starts"`
	People    []scriptPerson `json:"people"`
	Recording string         `json:"recording,omitempty"`
	FileAfter string         `json:"file_after"`
	FileSize  int64          `json:"file_size"`
	FileFate  string         `json:"file_fate,omitempty"`
	FateAfter string         `json:"fate_after,omitempty"`
}

type scriptPerson struct {
	Email   string       `json:"email,omitempty"`
	Name    string       `json:"name,omitempty"`
	Joins   string       `json:"joins"`
	Leaves  string       `json:"leaves"`
	Rejoins []scriptStay `json:"rejoins,omitempty"`
}

type scriptStay struct {
	Joins  string `json:"joins"`
	Leaves string `json:"leaves"`
}

// fileSize is small: thousands are copied, and how a large one is copied is another measurement.
const fileSize = 16 << 10

// scripts of the visit, whose people come at opens or later.
func (v *visit) scripts(opens time.Time) []script {
	one := func(from, until time.Time) script {
		s := script{Space: v.space, Starts: from, FileAfter: v.fileAfter.String(), FileSize: fileSize + int64(v.number)}
		length := until.Sub(from)
		s.People = []scriptPerson{{Email: v.organizer, Joins: "0s", Leaves: length.String()}}
		for i, email := range v.invited {
			p := scriptPerson{Email: email, Joins: (time.Duration(1+i) * time.Minute).String(), Leaves: (length - 30*time.Second).String()}
			if i == 1 { // the second one is a guest by name, whose connection breaks
				p.Email, p.Name, p.Leaves = "", "Guest", (length / 2).String()
				p.Rejoins = []scriptStay{{Joins: (length/2 + 20*time.Second).String(), Leaves: (length - time.Second).String()}}
			}
			s.People = append(s.People, p)
		}
		switch v.kind {
		case kindNever:
			s.Recording = "never"
		case kindStops:
			s.Recording = "stops"
		case kindTwo:
			s.Recording = "two"
		case kindLost:
			s.Recording = "lost"
		case kindTrashed:
			s.FileFate, s.FateAfter = "trashed", v.fateAfter.String()
		case kindDeleted:
			s.FileFate, s.FateAfter = "deleted", v.fateAfter.String()
		}
		return s
	}
	closes := v.closes
	if least := opens.Add(6 * time.Minute); closes.Before(least) {
		closes = least
	}
	all := []script{one(opens, closes)}
	if !v.again.IsZero() {
		again := v.again
		if again.Before(closes.Add(10 * time.Minute)) {
			again = closes.Add(10 * time.Minute)
		}
		all = append(all, one(again, again.Add(15*time.Minute)))
	}
	return all
}
