package googlefake

import (
	"cmp"
	"container/heap"
	"math"
	"slices"
	"strings"
	"time"
)

const (
	recordLife    = 30 * 24 * time.Hour // after its end a conference's record is deleted, with all below it
	emptyRoom     = time.Minute         // a room empty for longer has seen the end of its conference
	usualFileWait = 3 * time.Minute
	usualFileSize = 64 << 10 // bytes of a recording, when the script does not say
)

// Values of the fields above.
const (
	scriptAuto  = "auto"
	scriptNever = "never"
	scriptStops = "stops"
	scriptTwo   = "two"
	scriptLost  = "lost"

	fateTrashed = "trashed"
	fateDeleted = "deleted"

	usualStay = 30 * time.Minute
)

// conference is a record as it is kept, with what is still to come.
type conference struct {
	ID     string         `json:"id"`
	Space  string         `json:"space"`
	Owner  string         `json:"owner"`
	Start  time.Time      `json:"start"`
	End    time.Time      `json:"end"` // the last leaves
	People []*participant `json:"people"`
	Left   []*artifact    `json:"left,omitempty"` // what it leaves behind, once that has begun
	Plan   conferencePlan `json:"plan"`

	generation int // steps of an older one are void
}

// conferencePlan is the script, as far as it decides what is left behind.
type conferencePlan struct {
	Recording  string        `json:"recording,omitempty"`
	Stops      time.Duration `json:"stops,omitempty"`
	FileAfter  time.Duration `json:"file_after"`
	FileSize   int64         `json:"file_size"`
	Fate       string        `json:"fate,omitempty"`
	FateAfter  time.Duration `json:"fate_after,omitempty"`
	Transcript string        `json:"transcript,omitempty"`
	Notes      string        `json:"notes,omitempty"`
}

type participant struct {
	ID       string    `json:"id"`
	Email    string    `json:"email,omitempty"`
	Name     string    `json:"name,omitempty"`
	Phone    string    `json:"phone,omitempty"`
	Sessions []session `json:"sessions"` // by start
}

type session struct {
	ID    string    `json:"id"`
	Start time.Time `json:"start"`
	End   time.Time `json:"end"`
}

// artifactKind says what a conference leaves behind.
type artifactKind string

const (
	recordingKind  artifactKind = "recording"
	transcriptKind artifactKind = "transcript"
	notesKind      artifactKind = "smartNote"
)

// artifact is a recording, a transcript or notes.
type artifact struct {
	ID    string       `json:"id"`
	Kind  artifactKind `json:"kind"`
	Start time.Time    `json:"start"`
	End   time.Time    `json:"end"`
	Ready time.Time    `json:"ready,omitzero"` // when the file is there; zero is never
	File  string       `json:"file"`           // its id in Drive
}

func (a *artifact) state(now time.Time) string {
	switch {
	case now.Before(a.End):
		return "STARTED"
	case a.Ready.IsZero() || now.Before(a.Ready):
		return "ENDED"
	}
	return "FILE_GENERATED"
}

func (c *conference) name() string       { return recordsPrefix + c.ID }
func (c *conference) expires() time.Time { return c.End.Add(recordLife) }

// exists says whether Meet shows a record of it.
func (c *conference) exists(now time.Time) bool {
	return !now.Before(c.Start) && now.Before(c.expires())
}

func (c *conference) running(now time.Time) bool {
	return !now.Before(c.Start) && now.Before(c.End)
}

// attended says whether somebody was in the room by now.
func (c *conference) attended(email string, now time.Time) bool {
	return slices.ContainsFunc(c.People, func(p *participant) bool {
		return p.Email == email && !now.Before(p.Sessions[0].Start)
	})
}

// sees says whether somebody may read the record: the owner of the space and whoever was there.
func (c *conference) sees(email string, now time.Time) bool {
	return c.exists(now) && (c.Owner == email || c.attended(email, now))
}

// stepKind is what happens at a step.
type stepKind uint8

const (
	stepBegin stepKind = iota + 1
	stepJoin
	stepLeave
	stepEnd
	stepExpire
	stepArtifactStart
	stepArtifactEnd
	stepArtifactFile
	stepFate
	stepRemind
	stepSubscriptionEnd
)

// step is something that is due on the emulator's clock.
type step struct {
	at         time.Time
	order      int64 // of steps at the same time
	kind       stepKind
	conference *conference
	generation int
	person     *participant
	session    *session
	artifact   *artifact
	sub        *eventSubscription
}

// stepQueue is a heap of steps, the next one first.
type stepQueue []*step

func (q stepQueue) Len() int { return len(q) }
func (q stepQueue) Less(i, j int) bool {
	if c := q[i].at.Compare(q[j].at); c != 0 {
		return c < 0
	}
	return q[i].order < q[j].order
}
func (q stepQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *stepQueue) Push(x any)   { *q = append(*q, x.(*step)) }
func (q *stepQueue) Pop() any {
	old := *q
	last := old[len(old)-1]
	old[len(old)-1] = nil
	*q = old[:len(old)-1]
	return last
}

// plan puts a step into the queue. The caller holds the lock.
func (st *store) plan(s *step) {
	st.stepOrder++
	s.order = st.stepOrder
	if s.conference != nil {
		s.generation = s.conference.generation
	}
	if s.sub != nil {
		s.generation = s.sub.generation
	}
	heap.Push(&st.steps, s)
	st.due.Store(st.steps[0].at.UnixNano())
}

func (s *step) void() bool {
	if s.conference != nil {
		return s.generation != s.conference.generation
	}
	return s.generation != s.sub.generation
}

// planConference queues what is still to come of a conference after a moment.
func (st *store) planConference(c *conference, after time.Time) {
	later := func(s *step) {
		if s.at.After(after) {
			s.conference = c
			st.plan(s)
		}
	}
	later(&step{at: c.Start, kind: stepBegin})
	for _, p := range c.People {
		for i := range p.Sessions {
			later(&step{at: p.Sessions[i].Start, kind: stepJoin, person: p, session: &p.Sessions[i]})
			later(&step{at: p.Sessions[i].End, kind: stepLeave, person: p, session: &p.Sessions[i]})
		}
	}
	for _, a := range c.Left {
		st.planArtifact(c, a, after)
	}
	later(&step{at: c.End, kind: stepEnd})
	later(&step{at: c.expires(), kind: stepExpire})
}

func (st *store) planArtifact(c *conference, a *artifact, after time.Time) {
	steps := []*step{{at: a.Start, kind: stepArtifactStart}, {at: a.End, kind: stepArtifactEnd}}
	if !a.Ready.IsZero() {
		steps = append(steps, &step{at: a.Ready, kind: stepArtifactFile})
		if c.Plan.Fate != "" && a.Kind == recordingKind {
			steps = append(steps, &step{at: a.Ready.Add(c.Plan.FateAfter), kind: stepFate})
		}
	}
	for _, s := range steps {
		if s.at.After(after) {
			s.conference, s.artifact = c, a
			st.plan(s)
		}
	}
}

// progress lets everything happen that is due on the emulator's clock.
func (s *Server) progress() error {
	now := s.now()
	if s.store.due.Load() > now.UnixNano() {
		return nil
	}
	s.store.mu.Lock()
	defer s.store.mu.Unlock()
	return s.advanceTo(now, s.store.scratch[:0])
}

// advanceTo runs the steps up to now and makes them durable in one write, after lines. The caller
// holds the lock. When the write fails the emulator's memory is ahead of its disk, which a restart
// from the same disk puts right: the steps then happen again.
func (s *Server) advanceTo(now time.Time, lines []byte) error {
	st := s.store
	ran := false
	for len(st.steps) > 0 && !st.steps[0].at.After(now) {
		next := heap.Pop(&st.steps).(*step)
		if !next.void() {
			lines = s.run(next, lines)
			ran = true
		}
	}
	st.due.Store(math.MaxInt64)
	if len(st.steps) > 0 {
		st.due.Store(st.steps[0].at.UnixNano())
	}
	if now.After(st.done) {
		st.done = now
	}
	if ran {
		lines = appendRecord(lines, record{Kind: "done", Done: &st.done})
		defer s.published.ring()
	}
	if len(lines) == 0 {
		return nil
	}
	return st.commit(lines)
}

// run lets one step happen and adds what has to be kept of it.
func (s *Server) run(n *step, lines []byte) []byte {
	c, st := n.conference, s.store
	switch n.kind {
	case stepBegin:
		return s.emit(c, "conference.v2.started", "conferenceRecord", c.name(), n.at, lines)
	case stepJoin:
		lines = s.emit(c, "participant.v2.joined", "participantSession", c.sessionName(n.person, n.session), n.at, lines)
		return s.joined(c, n.person, n.at, lines)
	case stepLeave:
		return s.emit(c, "participant.v2.left", "participantSession", c.sessionName(n.person, n.session), n.at, lines)
	case stepEnd:
		return s.emit(c, "conference.v2.ended", "conferenceRecord", c.name(), n.at, lines)
	case stepExpire:
		st.retire(c)
		return appendRecord(lines, record{Kind: "dropconf", ID: c.ID})
	case stepArtifactStart:
		return s.emitArtifact(c, n.artifact, "started", n.at, lines)
	case stepArtifactEnd:
		return s.emitArtifact(c, n.artifact, "ended", n.at, lines)
	case stepArtifactFile:
		f := s.artifactFile(c, n.artifact)
		st.keepFile(f)
		lines = appendRecord(lines, record{Kind: "file", File: f})
		return s.emitArtifact(c, n.artifact, "fileGenerated", n.at, lines)
	case stepFate:
		f := st.files[n.artifact.File]
		if f == nil {
			return lines
		}
		next := *f
		next.Trashed, next.Deleted, next.Lost = c.Plan.Fate == fateTrashed, c.Plan.Fate == fateDeleted, n.at
		st.keepFile(&next)
		return appendRecord(lines, record{Kind: "file", File: &next})
	case stepRemind:
		return s.remind(n.sub, n.at, lines)
	case stepSubscriptionEnd:
		return s.expireSubscription(n.sub, n.at, lines)
	}
	return lines
}

// joined starts what the space is set to make by itself, when somebody is there who may.
func (s *Server) joined(c *conference, p *participant, at time.Time, lines []byte) []byte {
	sp := s.store.spaces[c.Space]
	if sp == nil || sp.Config == nil || !s.mayStart(c, p) {
		return lines
	}
	set := sp.Config.ArtifactConfig
	began := false
	for _, wish := range []struct {
		kind artifactKind
		on   string
		plan string
	}{
		{recordingKind, set.RecordingConfig.AutoRecordingGeneration, c.Plan.Recording},
		{transcriptKind, set.TranscriptionConfig.AutoTranscriptionGeneration, c.Plan.Transcript},
		{notesKind, set.SmartNotesConfig.AutoSmartNotesGeneration, c.Plan.Notes},
	} {
		has := slices.ContainsFunc(c.Left, func(a *artifact) bool { return a.Kind == wish.kind })
		if wish.on != "ON" || wish.plan == scriptNever || has || !at.Before(c.End) {
			continue
		}
		for _, a := range c.artifacts(wish.kind, wish.plan, at) {
			c.Left = append(c.Left, a)
			s.store.planArtifact(c, a, at.Add(-1))
		}
		began = true
	}
	if !began {
		return lines
	}
	return appendRecord(lines, record{Kind: "conf", Conference: c})
}

// mayStart says whether somebody's coming starts recordings: people of the owner's domain with the
// right to record. An emulator that is not strict takes every address for one of the owner's domain,
// as it takes every address for an account; whoever shall not record is told so (may_record).
func (s *Server) mayStart(c *conference, p *participant) bool {
	_, home, _ := strings.Cut(c.Owner, "@")
	_, domain, _ := strings.Cut(p.Email, "@")
	u := s.setup()
	return p.Email != "" && (domain == home || !s.cfg.Strict) && u.policy(p.Email).mayRecord && u.policy(c.Owner).mayRecord
}

// artifacts plans what a recording that starts at a moment will be.
func (c *conference) artifacts(kind artifactKind, plan string, at time.Time) []*artifact {
	all := []*artifact{{ID: randomText(recordLetters, 24), Kind: kind, Start: at, End: c.End, File: randomText(fileLetters, 33)}}
	stop := at.Add(c.Plan.Stops)
	if c.Plan.Stops <= 0 || !stop.Before(c.End) {
		stop = at.Add(c.End.Sub(at) / 2)
	}
	switch plan {
	case scriptStops:
		all[0].End = stop
	case scriptTwo:
		all[0].End = stop
		again := stop.Add(c.End.Sub(stop) / 4)
		all = append(all, &artifact{ID: randomText(recordLetters, 24), Kind: kind, Start: again, End: c.End, File: randomText(fileLetters, 33)})
	}
	for _, a := range all {
		if plan != scriptLost {
			a.Ready = a.End.Add(c.Plan.FileAfter)
		}
	}
	return all
}

const (
	recordLetters = "abcdefghijklmnopqrstuvwxyz0123456789"
	fileLetters   = spaceIDLetters + "-_"
)

// keepConference adds a conference to what can be found.
func (st *store) keepConference(c *conference) {
	if old := st.conferences[c.ID]; old != nil {
		st.dropConference(old)
	}
	st.conferences[c.ID] = c
	byStart := func(have, c *conference) int {
		return cmp.Or(have.Start.Compare(c.Start), strings.Compare(have.ID, c.ID))
	}
	add := func(list []*conference) []*conference {
		i, found := slices.BinarySearchFunc(list, c, byStart)
		if found {
			return list
		}
		return slices.Insert(list, i, c)
	}
	st.bySpace[c.Space] = add(st.bySpace[c.Space])
	st.byPerson[c.Owner] = add(st.byPerson[c.Owner])
	for _, p := range c.People {
		if p.Email != "" {
			st.ids[userID(p.Email)] = p.Email
			st.byPerson[p.Email] = add(st.byPerson[p.Email])
		}
	}
}

// retire forgets a conference as Meet does, but for the truth.
func (st *store) retire(c *conference) {
	st.dropConference(c)
	st.past[c.Space] = append(st.past[c.Space], c)
	st.pastCount++
}

func (st *store) dropConference(c *conference) {
	delete(st.conferences, c.ID)
	same := func(have *conference) bool { return have.ID == c.ID }
	st.bySpace[c.Space] = slices.DeleteFunc(st.bySpace[c.Space], same)
	st.byPerson[c.Owner] = slices.DeleteFunc(st.byPerson[c.Owner], same)
	for _, p := range c.People {
		st.byPerson[p.Email] = slices.DeleteFunc(st.byPerson[p.Email], same)
	}
	c.generation++
}

// endConference lets everybody in a running conference leave at now.
func (s *Server) endConference(c *conference, now time.Time) error {
	st := s.store
	c.generation++ // what was to come does not
	c.End = now
	for _, p := range c.People {
		p.Sessions = slices.DeleteFunc(p.Sessions, func(in session) bool { return in.Start.After(now) })
		for i := range p.Sessions {
			if p.Sessions[i].End.After(now) {
				p.Sessions[i].End = now
			}
		}
	}
	c.People = slices.DeleteFunc(c.People, func(p *participant) bool { return len(p.Sessions) == 0 })
	c.Left = slices.DeleteFunc(c.Left, func(a *artifact) bool { return a.Start.After(now) })
	for _, a := range c.Left {
		if a.End.After(now) {
			a.End = now
			if !a.Ready.IsZero() {
				a.Ready = now.Add(c.Plan.FileAfter)
			}
		}
	}
	st.planConference(c, now.Add(-1))
	// Those who had left or come at this very moment are not told of again.
	for _, n := range st.steps {
		if n.conference == c && n.kind != stepLeave && n.kind != stepEnd && n.kind != stepArtifactEnd && !n.at.After(now) {
			n.generation = -1
		}
	}
	return s.advanceTo(now, appendRecord(st.scratch[:0], record{Kind: "conf", Conference: c}))
}
