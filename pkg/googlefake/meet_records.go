package googlefake

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"text/scanner"
	"time"
)

const (
	recordsPrefix = "conferenceRecords/"
	recordPattern = "/v2/conferenceRecords/{record}"
	meetTime      = "2006-01-02T15:04:05.000000Z"
)

// ConferenceRecord is Meet's resource of that name, and so are the types that follow.
type ConferenceRecord struct {
	Name       string `json:"name"`
	StartTime  string `json:"startTime,omitempty"`
	EndTime    string `json:"endTime,omitempty"`
	ExpireTime string `json:"expireTime,omitempty"`
	Space      string `json:"space,omitempty"`
}

// Participant of a conference.
type Participant struct {
	Name              string         `json:"name"`
	EarliestStartTime string         `json:"earliestStartTime,omitempty"`
	LatestEndTime     string         `json:"latestEndTime,omitempty"`
	SignedinUser      *SignedinUser  `json:"signedinUser,omitempty"`
	AnonymousUser     *AnonymousUser `json:"anonymousUser,omitempty"`
	PhoneUser         *PhoneUser     `json:"phoneUser,omitempty"`
}

// SignedinUser has a Google account.
type SignedinUser struct {
	User        string `json:"user,omitempty"`
	DisplayName string `json:"displayName,omitempty"`
}

// AnonymousUser typed a name.
type AnonymousUser struct {
	DisplayName string `json:"displayName,omitempty"`
}

// PhoneUser dialled in.
type PhoneUser struct {
	DisplayName string `json:"displayName,omitempty"`
}

// ParticipantSession is one stay of a participant.
type ParticipantSession struct {
	Name      string `json:"name"`
	StartTime string `json:"startTime,omitempty"`
	EndTime   string `json:"endTime,omitempty"`
}

// Recording of a conference.
type Recording struct {
	Name             string            `json:"name"`
	State            string            `json:"state,omitempty"`
	StartTime        string            `json:"startTime,omitempty"`
	EndTime          string            `json:"endTime,omitempty"`
	DriveDestination *DriveDestination `json:"driveDestination,omitempty"`
}

// DriveDestination is the file of a recording.
type DriveDestination struct {
	File      string `json:"file,omitempty"`
	ExportURI string `json:"exportUri,omitempty"`
}

// Transcript of a conference; notes have the same fields.
type Transcript struct {
	Name            string           `json:"name"`
	State           string           `json:"state,omitempty"`
	StartTime       string           `json:"startTime,omitempty"`
	EndTime         string           `json:"endTime,omitempty"`
	DocsDestination *DocsDestination `json:"docsDestination,omitempty"`
}

// DocsDestination is the document of a transcript.
type DocsDestination struct {
	Document  string `json:"document,omitempty"`
	ExportURI string `json:"exportUri,omitempty"`
}

// TranscriptEntry is one thing said.
type TranscriptEntry struct {
	Name         string `json:"name"`
	Participant  string `json:"participant,omitempty"`
	Text         string `json:"text,omitempty"`
	LanguageCode string `json:"languageCode,omitempty"`
	StartTime    string `json:"startTime,omitempty"`
	EndTime      string `json:"endTime,omitempty"`
}

// The lists of the above; an empty one is {}.
type (
	conferenceRecordList struct {
		ConferenceRecords []ConferenceRecord `json:"conferenceRecords,omitempty"`
		NextPageToken     string             `json:"nextPageToken,omitempty"`
	}
	participantList struct {
		Participants  []Participant `json:"participants,omitempty"`
		NextPageToken string        `json:"nextPageToken,omitempty"`
		TotalSize     int64         `json:"totalSize,omitempty"`
	}
	participantSessionList struct {
		ParticipantSessions []ParticipantSession `json:"participantSessions,omitempty"`
		NextPageToken       string               `json:"nextPageToken,omitempty"`
	}
	recordingList struct {
		Recordings    []Recording `json:"recordings,omitempty"`
		NextPageToken string      `json:"nextPageToken,omitempty"`
	}
	transcriptList struct {
		Transcripts   []Transcript `json:"transcripts,omitempty"`
		NextPageToken string       `json:"nextPageToken,omitempty"`
	}
	smartNoteList struct {
		SmartNotes    []Transcript `json:"smartNotes,omitempty"`
		NextPageToken string       `json:"nextPageToken,omitempty"`
	}
	transcriptEntryList struct {
		TranscriptEntries []TranscriptEntry `json:"transcriptEntries,omitempty"`
		NextPageToken     string            `json:"nextPageToken,omitempty"`
	}
)

func recordRoutes() []*route {
	scopes := []string{scopePrefix + "meetings.space.created", scopePrefix + "meetings.space.readonly"}
	const service = "google.apps.meet.v2.ConferenceRecordsService."
	get := func(id, path, rpc string, handle func(*Server, *call) (answer, error), params ...string) *route {
		return &route{
			id: "meet.conferenceRecords." + id, method: http.MethodGet, pattern: path, scopes: scopes, dialect: platform,
			service: meetService, quota: quotaMeetRead, rpc: service + rpc, handle: handle, params: params,
		}
	}
	const paged, token = "pageSize", "pageToken"
	transcript := recordPattern + "/transcripts/{artifact}"
	participant := recordPattern + "/participants/{participant}"
	return []*route{
		get("list", "/v2/conferenceRecords", "ListConferenceRecords", (*Server).listRecords, "filter", paged, token),
		get("get", recordPattern, "GetConferenceRecord", (*Server).getRecord),
		get("participants.list", recordPattern+"/participants", "ListParticipants", (*Server).listParticipants, "filter", paged, token),
		get("participants.get", participant, "GetParticipant", (*Server).getParticipant),
		get("participants.participantSessions.list", participant+"/participantSessions", "ListParticipantSessions", (*Server).listSessions, "filter", paged, token),
		get("participants.participantSessions.get", participant+"/participantSessions/{session}", "GetParticipantSession", (*Server).getSession),
		get("recordings.list", recordPattern+"/recordings", "ListRecordings", listArtifacts(recordingKind), paged, token),
		get("recordings.get", recordPattern+"/recordings/{artifact}", "GetRecording", getArtifact(recordingKind)),
		get("transcripts.list", recordPattern+"/transcripts", "ListTranscripts", listArtifacts(transcriptKind), paged, token),
		get("transcripts.get", transcript, "GetTranscript", getArtifact(transcriptKind)),
		get("transcripts.entries.list", transcript+"/entries", "ListTranscriptEntries", (*Server).listEntries, paged, token),
		get("transcripts.entries.get", transcript+"/entries/{entry}", "GetTranscriptEntry", (*Server).getEntry),
		get("smartNotes.list", recordPattern+"/smartNotes", "ListSmartNotes", listArtifacts(notesKind), paged, token),
		get("smartNotes.get", recordPattern+"/smartNotes/{artifact}", "GetSmartNote", getArtifact(notesKind)),
	}
}

func stampMeet(t time.Time) string { return t.UTC().Format(meetTime) }

func (c *conference) resource(now time.Time) ConferenceRecord {
	out := ConferenceRecord{Name: c.name(), StartTime: stampMeet(c.Start), Space: spacesPrefix + c.Space}
	if !now.Before(c.End) {
		out.EndTime, out.ExpireTime = stampMeet(c.End), stampMeet(c.expires())
	} else {
		out.ExpireTime = stampMeet(c.Start.Add(recordLife)) // Meet moves it when the conference ends
	}
	return out
}

func (c *conference) sessionName(p *participant, in *session) string {
	return c.name() + "/participants/" + p.ID + "/participantSessions/" + in.ID
}

// latest is the end of somebody's last stay so far; ok is false while she is in the room.
func (p *participant) latest(now time.Time) (end time.Time, ok bool) {
	for _, in := range p.Sessions {
		if in.Start.After(now) {
			continue
		}
		if now.Before(in.End) {
			return end, false
		}
		if in.End.After(end) {
			end = in.End
		}
	}
	return end, true
}

func (s *Server) participant(c *conference, p *participant, now time.Time) Participant {
	out := Participant{Name: c.name() + "/participants/" + p.ID, EarliestStartTime: stampMeet(p.Sessions[0].Start)}
	if end, ok := p.latest(now); ok {
		out.LatestEndTime = stampMeet(end)
	}
	switch {
	case p.Email != "":
		local, _, _ := strings.Cut(p.Email, "@")
		out.SignedinUser = &SignedinUser{User: "users/" + userID(p.Email), DisplayName: cmp.Or(p.Name, s.setup().policy(p.Email).name, local)}
	case p.Phone != "":
		out.PhoneUser = &PhoneUser{DisplayName: p.Phone}
	default:
		out.AnonymousUser = &AnonymousUser{DisplayName: p.Name}
	}
	return out
}

func notFoundPlatform() *apiError { return typical(platform, http.StatusNotFound, "", "") }

// record finds the record in a call's path, if its caller may see it. The caller holds the lock.
func (s *Server) record(c *call, now time.Time) (*conference, *apiError) {
	conf := s.store.conferences[c.r.PathValue("record")]
	if conf == nil || !conf.exists(now) {
		return nil, notFoundPlatform()
	}
	if !conf.sees(c.who.Subject, now) {
		return nil, denied("ConferenceRecord")
	}
	return conf, nil
}

func denied(resource string) *apiError {
	return &apiError{status: http.StatusForbidden, message: "Permission denied on resource " + resource + " (or it might not exist)."}
}

func ok(v any) (answer, error) { return answer{status: http.StatusOK, body: mustJSON(v)}, nil }

func (s *Server) listRecords(c *call) (answer, error) {
	if c.who.Subject == "" {
		return answer{}, denied("ConferenceRecord")
	}
	conditions, refusal := parseFilter(c.form.Get("filter"), "space.name", "space.meeting_code", "start_time", "end_time")
	if refusal != nil {
		return answer{}, refusal
	}
	now := s.now()
	st := s.store
	st.mu.RLock()
	defer st.mu.RUnlock()
	list := st.byPerson[c.who.Subject]
	for _, cond := range conditions { // a window of time or a space spares looking at all
		switch {
		case cond.field == "start_time" && (cond.op == ">=" || cond.op == "="):
			i, _ := slices.BinarySearchFunc(list, cond.time, func(have *conference, t time.Time) int { return have.Start.Compare(t) })
			list = list[i:]
		case cond.field == "space.name" && cond.op == "=":
			if in := st.bySpace[strings.TrimPrefix(cond.text, spacesPrefix)]; len(in) < len(list) {
				list = in
			}
		}
	}
	var found []*conference
	for _, conf := range slices.Backward(list) { // newest first
		if conf.sees(c.who.Subject, now) && s.holds(conf, conditions, now) {
			found = append(found, conf)
		}
	}
	items, next, refusal := platformPage(c, found, 25, 100)
	if refusal != nil {
		return answer{}, refusal
	}
	out := conferenceRecordList{NextPageToken: next}
	for _, conf := range items {
		out.ConferenceRecords = append(out.ConferenceRecords, conf.resource(now))
	}
	return ok(out)
}

func (s *Server) holds(conf *conference, conditions []condition, now time.Time) bool {
	for _, cond := range conditions {
		good := false
		switch cond.field {
		case "space.name":
			good = cond.text == spacesPrefix+conf.Space
		case "space.meeting_code":
			good = s.store.spaces[conf.Space].Code == strings.ToLower(cond.text)
		case "start_time":
			good = cond.compare(conf.Start, true)
		case "end_time":
			good = cond.compare(conf.End, !now.Before(conf.End))
		}
		if !good {
			return false
		}
	}
	return true
}

// condition is one comparison of a filter.
type condition struct {
	field, op string // op is =, >=, <= or "null"
	text      string
	time      time.Time
}

// compare holds a time, which may be unset, against the condition.
func (c condition) compare(t time.Time, set bool) bool {
	switch c.op {
	case "null":
		return !set
	case "=":
		return set && t.Equal(c.time)
	case ">=":
		return set && !t.Before(c.time)
	}
	return set && !t.After(c.time)
}

// parseFilter reads Meet's filters: comparisons of a few fields with =, >= and <= or IS NULL, joined
// by AND. It is written out because that grammar, in the text of the API's reference, is neither the
// whole of AIP-160, which has no IS NULL, nor a part of it; the words are cut by text/scanner.
func parseFilter(text string, fields ...string) ([]condition, *apiError) {
	bad := func(what string) *apiError {
		return platformInvalid("filter", "Invalid filter: "+what)
	}
	words, err := filterWords(text)
	if err != nil {
		return nil, bad(err.Error())
	}
	var out []condition
	for i := 0; len(words) > 0; i++ {
		if i > 0 {
			if !strings.EqualFold(words[0], "AND") {
				return nil, bad("want AND before " + words[0])
			}
			words = words[1:]
		}
		if len(words) < 3 {
			return nil, bad("it ends too early")
		}
		c := condition{field: words[0], op: words[1]}
		if !slices.Contains(fields, c.field) {
			return nil, bad("unknown field " + c.field)
		}
		timed := strings.HasSuffix(c.field, "_time")
		switch {
		case strings.EqualFold(c.op, "IS") && strings.EqualFold(words[2], "NULL") && timed:
			c.op = "null"
		case c.op == "=" && !timed, timed && slices.Contains([]string{"=", ">=", "<="}, c.op):
			if c.text = words[2]; !strings.HasPrefix(c.text, `"`) {
				return nil, bad("want a quoted value, not " + c.text)
			}
			c.text = strings.Trim(c.text, `"`)
			if timed {
				if c.time, err = time.Parse(time.RFC3339, c.text); err != nil {
					return nil, bad("want an RFC 3339 time, not " + c.text)
				}
			}
		default:
			return nil, bad("unknown comparison " + c.op)
		}
		out = append(out, c)
		words = words[3:]
	}
	return out, nil
}

// filterWords cuts a filter into names with their dots, quoted values and signs.
func filterWords(text string) (words []string, err error) {
	var sc scanner.Scanner
	sc.Init(strings.NewReader(text))
	sc.Mode = scanner.ScanIdents | scanner.ScanStrings
	sc.IsIdentRune = func(r rune, i int) bool {
		return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || i > 0 && (r == '.' || r >= '0' && r <= '9')
	}
	sc.Error = func(_ *scanner.Scanner, msg string) { err = fmt.Errorf("%s", msg) }
	for token := sc.Scan(); token != scanner.EOF; token = sc.Scan() {
		word := sc.TokenText()
		if (word == ">" || word == "<") && sc.Peek() == '=' {
			sc.Next()
			word += "="
		}
		words = append(words, word)
	}
	return words, err
}

func (s *Server) getRecord(c *call) (answer, error) {
	now := s.now()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	conf, refusal := s.record(c, now)
	if refusal != nil {
		return answer{}, refusal
	}
	return ok(conf.resource(now))
}

func (s *Server) listParticipants(c *call) (answer, error) {
	conditions, refusal := parseFilter(c.form.Get("filter"), "earliest_start_time", "latest_end_time")
	if refusal != nil {
		return answer{}, refusal
	}
	now := s.now()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	conf, refusal := s.record(c, now)
	if refusal != nil {
		return answer{}, refusal
	}
	var found []*participant
	for _, p := range conf.People {
		end, out := p.latest(now)
		wanted := !p.Sessions[0].Start.After(now)
		for _, cond := range conditions {
			if cond.field == "latest_end_time" {
				wanted = wanted && cond.compare(end, out)
			} else {
				wanted = wanted && cond.compare(p.Sessions[0].Start, true)
			}
		}
		if wanted {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b *participant) int { return b.Sessions[0].Start.Compare(a.Sessions[0].Start) })
	items, next, refusal := platformPage(c, found, 100, 250)
	if refusal != nil {
		return answer{}, refusal
	}
	list := participantList{NextPageToken: next}
	if fields := c.r.URL.Query().Get("fields"); strings.Contains(fields, "totalSize") || fields == "*" {
		list.TotalSize = int64(len(found))
	}
	for _, p := range items {
		list.Participants = append(list.Participants, s.participant(conf, p, now))
	}
	return ok(list)
}

// inRecord finds a record and somebody in it.
func (s *Server) inRecord(c *call, now time.Time) (*conference, *participant, *apiError) {
	conf, refusal := s.record(c, now)
	if refusal != nil {
		return nil, nil, refusal
	}
	i := slices.IndexFunc(conf.People, func(p *participant) bool {
		return p.ID == c.r.PathValue("participant") && !p.Sessions[0].Start.After(now)
	})
	if i < 0 {
		return nil, nil, notFoundPlatform()
	}
	return conf, conf.People[i], nil
}

func (s *Server) getParticipant(c *call) (answer, error) {
	now := s.now()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	conf, p, refusal := s.inRecord(c, now)
	if refusal != nil {
		return answer{}, refusal
	}
	return ok(s.participant(conf, p, now))
}

func (c *conference) session(p *participant, in *session, now time.Time) ParticipantSession {
	out := ParticipantSession{Name: c.sessionName(p, in), StartTime: stampMeet(in.Start)}
	if !now.Before(in.End) {
		out.EndTime = stampMeet(in.End)
	}
	return out
}

func (s *Server) listSessions(c *call) (answer, error) {
	conditions, refusal := parseFilter(c.form.Get("filter"), "start_time", "end_time")
	if refusal != nil {
		return answer{}, refusal
	}
	now := s.now()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	conf, p, refusal := s.inRecord(c, now)
	if refusal != nil {
		return answer{}, refusal
	}
	var found []ParticipantSession
	for i := range p.Sessions {
		in := &p.Sessions[len(p.Sessions)-1-i] // latest first
		wanted := !in.Start.After(now)
		for _, cond := range conditions {
			if cond.field == "end_time" {
				wanted = wanted && cond.compare(in.End, !now.Before(in.End))
			} else {
				wanted = wanted && cond.compare(in.Start, true)
			}
		}
		if wanted {
			found = append(found, conf.session(p, in, now))
		}
	}
	items, next, refusal := platformPage(c, found, 100, 250)
	if refusal != nil {
		return answer{}, refusal
	}
	return ok(participantSessionList{ParticipantSessions: items, NextPageToken: next})
}

func (s *Server) getSession(c *call) (answer, error) {
	now := s.now()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	conf, p, refusal := s.inRecord(c, now)
	if refusal != nil {
		return answer{}, refusal
	}
	for i := range p.Sessions {
		if in := &p.Sessions[i]; in.ID == c.r.PathValue("session") && !in.Start.After(now) {
			return ok(conf.session(p, in, now))
		}
	}
	return answer{}, notFoundPlatform()
}

// plural is how Meet names the collection of a kind.
func (k artifactKind) plural() string { return string(k) + "s" }

func (c *conference) artifactName(a *artifact) string {
	return c.name() + "/" + a.Kind.plural() + "/" + a.ID
}

func (a *artifact) resource(c *conference, now time.Time) (r Recording, t Transcript) {
	r = Recording{Name: c.artifactName(a), State: a.state(now), StartTime: stampMeet(a.Start)}
	if !now.Before(a.End) {
		r.EndTime = stampMeet(a.End)
	}
	t = Transcript{Name: r.Name, State: r.State, StartTime: r.StartTime, EndTime: r.EndTime}
	if r.State == "FILE_GENERATED" {
		r.DriveDestination = &DriveDestination{File: a.File, ExportURI: "https://drive.google.com/file/d/" + a.File + "/view"}
		t.DocsDestination = &DocsDestination{Document: a.File, ExportURI: "https://docs.google.com/document/d/" + a.File + "/view"}
	}
	return r, t
}

func listArtifacts(kind artifactKind) func(*Server, *call) (answer, error) {
	return func(s *Server, c *call) (answer, error) {
		now := s.now()
		s.store.mu.RLock()
		defer s.store.mu.RUnlock()
		conf, refusal := s.record(c, now)
		if refusal != nil {
			return answer{}, refusal
		}
		var found []*artifact
		for _, a := range conf.Left { // oldest first
			if a.Kind == kind && !a.Start.After(now) {
				found = append(found, a)
			}
		}
		items, next, refusal := platformPage(c, found, 10, 100)
		if refusal != nil {
			return answer{}, refusal
		}
		var recordings []Recording
		var documents []Transcript
		for _, a := range items {
			r, t := a.resource(conf, now)
			recordings, documents = append(recordings, r), append(documents, t)
		}
		switch kind {
		case recordingKind:
			return ok(recordingList{recordings, next})
		case transcriptKind:
			return ok(transcriptList{documents, next})
		case notesKind:
		}
		return ok(smartNoteList{documents, next})
	}
}

// artifact finds what a call's path names.
func (s *Server) artifact(c *call, kind artifactKind, now time.Time) (*conference, *artifact, *apiError) {
	conf, refusal := s.record(c, now)
	if refusal != nil {
		return nil, nil, refusal
	}
	for _, a := range conf.Left {
		if a.Kind == kind && a.ID == c.r.PathValue("artifact") && !a.Start.After(now) {
			return conf, a, nil
		}
	}
	return nil, nil, notFoundPlatform()
}

func getArtifact(kind artifactKind) func(*Server, *call) (answer, error) {
	return func(s *Server, c *call) (answer, error) {
		now := s.now()
		s.store.mu.RLock()
		defer s.store.mu.RUnlock()
		conf, a, refusal := s.artifact(c, kind, now)
		if refusal != nil {
			return answer{}, refusal
		}
		r, t := a.resource(conf, now)
		if kind == recordingKind {
			return ok(r)
		}
		return ok(t)
	}
}

const entryPause = 20 * time.Second // somebody says something about so often

// entries makes up what was said: everybody in turn, as long as they are there.
func (a *artifact) entries(c *conference, now time.Time) []TranscriptEntry {
	var out []TranscriptEntry
	turn := 0
	for at := a.Start; at.Add(entryPause).Before(a.End) && !at.After(now); at = at.Add(entryPause) {
		turn++
		for i := range c.People {
			p := c.People[(turn+i)%len(c.People)]
			there := slices.ContainsFunc(p.Sessions, func(in session) bool { return !at.Before(in.Start) && at.Before(in.End) })
			if !there {
				continue
			}
			out = append(out, TranscriptEntry{
				Name:        fmt.Sprintf("%s/entries/e%d", c.artifactName(a), turn),
				Participant: c.name() + "/participants/" + p.ID, LanguageCode: "en-US",
				Text:      fmt.Sprintf("This is sentence %d of a simulated conversation.", turn),
				StartTime: stampMeet(at), EndTime: stampMeet(at.Add(entryPause / 2)),
			})
			break
		}
	}
	return out
}

func (s *Server) listEntries(c *call) (answer, error) {
	now := s.now()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	conf, a, refusal := s.artifact(c, transcriptKind, now)
	if refusal != nil {
		return answer{}, refusal
	}
	items, next, refusal := platformPage(c, a.entries(conf, now), 10, 100)
	if refusal != nil {
		return answer{}, refusal
	}
	return ok(transcriptEntryList{items, next})
}

func (s *Server) getEntry(c *call) (answer, error) {
	now := s.now()
	s.store.mu.RLock()
	defer s.store.mu.RUnlock()
	conf, a, refusal := s.artifact(c, transcriptKind, now)
	if refusal != nil {
		return answer{}, refusal
	}
	for _, e := range a.entries(conf, now) {
		if strings.HasSuffix(e.Name, "/entries/"+c.r.PathValue("entry")) {
			return ok(e)
		}
	}
	return answer{}, notFoundPlatform()
}
