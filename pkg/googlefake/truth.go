package googlefake

import (
	"container/heap"
	"math"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// TruthPage is what really happened in some of the spaces, in the order in which they were made.
type TruthPage struct {
	Now    time.Time    `json:"now"`
	Spaces []TruthSpace `json:"spaces"`
	Next   int          `json:"next,omitempty"` // where the next page begins; 0: this was the last
}

// TruthSpace is a space with all conferences that were, are or will be held in it, the ones that Meet
// has forgotten included.
type TruthSpace struct {
	Space       string            `json:"space"`
	Code        string            `json:"code"`
	Owner       string            `json:"owner"`
	Origin      string            `json:"origin"`
	AutoRecord  bool              `json:"auto_record"` // as it is set now
	Conferences []TruthConference `json:"conferences"` // by start
}

// TruthConference is a conference as it was, with what is still to come.
type TruthConference struct {
	Record     string           `json:"record"`
	Start      time.Time        `json:"start"`
	End        time.Time        `json:"end"`
	Status     string           `json:"status"`         // "planned", "running" or "ended"
	Gone       bool             `json:"gone,omitempty"` // Meet shows no record of it any more
	People     []TruthPerson    `json:"people"`
	Recordings []TruthRecording `json:"recordings"`
}

// TruthPerson is somebody who is in a conference some time.
type TruthPerson struct {
	Email    string    `json:"email,omitempty"`
	Name     string    `json:"name,omitempty"`
	Phone    string    `json:"phone,omitempty"`
	Joined   time.Time `json:"joined"` // first
	Left     time.Time `json:"left"`   // last
	Sessions int       `json:"sessions"`
}

// TruthRecording is a recording and its file.
type TruthRecording struct {
	Name  string     `json:"name"`
	Start time.Time  `json:"start"`
	End   time.Time  `json:"end"`
	Ready *time.Time `json:"ready,omitempty"` // when its file is there; absent: never
	File  string     `json:"file"`
	// FileState is "" before there is one, and then "present", "trashed" or "deleted".
	FileState string `json:"file_state,omitempty"`
	// Lost is when the file was trashed or deleted.
	Lost *time.Time `json:"lost,omitempty"`
	// Copied is when somebody had first read the file to its end.
	Copied *time.Time `json:"copied,omitempty"`
}

// Values of TruthRecording.FileState.
const (
	filePresent = "present"
	fileTrashed = "trashed"
	fileDeleted = "deleted"
)

// Truth tells of most spaces from the from-th on, counted from 0 as they were made.
func (s *Server) Truth(from, most int) (TruthPage, error) {
	if err := s.progress(); err != nil {
		return TruthPage{}, err
	}
	now := s.now()
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	from = min(max(from, 0), len(st.order))
	until := min(from+max(most, 1), len(st.order))
	page := TruthPage{Now: now, Spaces: make([]TruthSpace, 0, until-from)}
	for _, sp := range st.order[from:until] {
		page.Spaces = append(page.Spaces, st.truth(sp, now))
	}
	if until < len(st.order) {
		page.Next = until
	}
	return page, nil
}

func (st *store) truth(sp *space, now time.Time) TruthSpace {
	out := TruthSpace{Space: spacesPrefix + sp.ID, Code: sp.Code, Owner: sp.Owner, Origin: sp.Origin, Conferences: []TruthConference{}}
	out.AutoRecord = sp.Config != nil && sp.Config.ArtifactConfig.RecordingConfig.AutoRecordingGeneration == "ON"
	for _, c := range slices.Concat(st.past[sp.ID], st.bySpace[sp.ID]) {
		out.Conferences = append(out.Conferences, st.truthOf(c, now))
	}
	slices.SortStableFunc(out.Conferences, func(a, b TruthConference) int { return a.Start.Compare(b.Start) })
	return out
}

func (st *store) truthOf(c *conference, now time.Time) TruthConference {
	out := TruthConference{
		Record: c.name(), Start: c.Start, End: c.End, Status: c.status(now), Gone: st.conferences[c.ID] == nil,
		People: make([]TruthPerson, 0, len(c.People)), Recordings: []TruthRecording{},
	}
	for _, p := range c.People {
		who := TruthPerson{Email: p.Email, Name: p.Name, Phone: p.Phone, Joined: p.Sessions[0].Start, Sessions: len(p.Sessions)}
		for _, in := range p.Sessions {
			if in.End.After(who.Left) {
				who.Left = in.End
			}
		}
		out.People = append(out.People, who)
	}
	for _, a := range c.Left {
		if a.Kind != recordingKind {
			continue
		}
		one := TruthRecording{Name: c.artifactName(a), Start: a.Start, End: a.End, File: a.File, Ready: momentOrNil(a.Ready)}
		if f := st.files[a.File]; f != nil {
			one.FileState, one.Lost, one.Copied = f.state(), momentOrNil(f.Lost), momentOrNil(f.Copied)
		}
		out.Recordings = append(out.Recordings, one)
	}
	return out
}

func momentOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

// status of a conference at a moment.
func (c *conference) status(now time.Time) string {
	switch {
	case now.Before(c.Start):
		return "planned"
	case c.running(now):
		return "running"
	}
	return "ended"
}

func (f *driveFile) state() string {
	switch {
	case f.Deleted:
		return fileDeleted
	case f.Trashed:
		return fileTrashed
	}
	return filePresent
}

const (
	usualTruth = 1000 // spaces of a page
	mostTruth  = 10_000
)

// getTruth answers ?from=N&limit=N.
func (s *Server) getTruth(w http.ResponseWriter, r *http.Request) error {
	number := func(name string, usual, most int) (int, error) {
		text := r.URL.Query().Get(name)
		if text == "" {
			return usual, nil
		}
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 || n > most {
			return 0, &fieldError{name, "want 0 to " + strconv.Itoa(most)}
		}
		return n, nil
	}
	from, err := number("from", 0, math.MaxInt32)
	if err != nil {
		return err
	}
	limit, err := number("limit", usualTruth, mostTruth)
	if err != nil {
		return err
	}
	page, err := s.Truth(from, limit)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(page)))
	return nil
}

// Upcoming says when something will happen by itself, and what waits to be fetched: what a program
// that moves the clock in jumps wants to know before the next.
type Upcoming struct {
	Now      time.Time  `json:"now"`
	Revision int64      `json:"revision"`       // of the clock
	Next     *time.Time `json:"next,omitempty"` // absent: nothing will, by itself
	Waiting  int        `json:"waiting"`        // messages that a pull would give
	Out      int        `json:"out"`            // messages that were pulled and not acknowledged yet
	Held     int        `json:"held"`           // messages that are held back until later
}

// Upcoming says when something will happen next.
func (s *Server) Upcoming() (Upcoming, error) {
	if err := s.progress(); err != nil {
		return Upcoming{}, err
	}
	now, real := s.now(), time.Now()
	out := Upcoming{Now: now, Revision: s.store.clock.Load().Revision}
	sooner := func(at time.Time) {
		if at.After(now) && (out.Next == nil || at.Before(*out.Next)) {
			out.Next = &at
		}
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	for len(st.steps) > 0 && st.steps[0].void() {
		heap.Pop(&st.steps)
	}
	if len(st.steps) > 0 {
		sooner(st.steps[0].at)
	}
	for _, sub := range st.pubsubs {
		for _, m := range sub.backlog {
			switch {
			case m.acked:
			case real.Before(m.lease):
				out.Out++
			case now.Before(m.After):
				out.Held++
				sooner(m.After)
			default:
				out.Waiting++
			}
		}
	}
	for _, cal := range st.calendars {
		if cal.waiting == 0 {
			continue
		}
		for _, e := range cal.order {
			if e.pending != nil {
				sooner(e.pending.At)
			}
		}
	}
	return out, nil
}

func (s *Server) getUpcoming(w http.ResponseWriter, r *http.Request) error {
	out, err := s.Upcoming()
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(out)))
	return nil
}
