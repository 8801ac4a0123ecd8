package googlefake

import (
	"cmp"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Script is a conference to come: who will be in the room and what is left of it. It happens on the
// emulator's clock.
type Script struct {
	Code   string         `json:"code,omitempty"`   // the meeting code, or
	Space  string         `json:"space,omitempty"`  // spaces/ID
	Starts string         `json:"starts,omitempty"` // RFC 3339; "" is now. The people's times count from here
	People []ScriptPerson `json:"people"`
	// Recording: "auto" (usual) records when the space says so and somebody who may record comes;
	// "never" does not start; "stops" ends after RecordingStops; "two" stops and starts again; "lost"
	// records, and no file ever appears.
	Recording      string `json:"recording,omitempty"`
	RecordingStops string `json:"recording_stops,omitempty"` // after its start; "" is half way
	FileAfter      string `json:"file_after,omitempty"`      // from the end of a recording to its file; "" is 3m
	FileSize       int64  `json:"file_size,omitempty"`       // bytes
	FileFate       string `json:"file_fate,omitempty"`       // "trashed" or "deleted"
	FateAfter      string `json:"fate_after,omitempty"`      // from the file's appearance on
	Transcript     string `json:"transcript,omitempty"`      // "auto", "never" or "lost"
	Notes          string `json:"notes,omitempty"`           // the same
}

// ScriptPerson is one person in the room: somebody signed in, somebody with a name only, or a phone.
type ScriptPerson struct {
	Email   string       `json:"email,omitempty"`
	Name    string       `json:"name,omitempty"`
	Phone   string       `json:"phone,omitempty"`
	Joins   string       `json:"joins,omitempty"`  // after the start; "" is 0s
	Leaves  string       `json:"leaves,omitempty"` // after the start; "" is 30m
	Rejoins []ScriptStay `json:"rejoins,omitempty"`
}

// ScriptStay is another time in the room, or another device.
type ScriptStay struct {
	Joins  string `json:"joins"`
	Leaves string `json:"leaves"`
}

// Conferences puts a script on and gives the names of the conference records that it will make: one
// for each time that the room fills after it was empty for more than a minute, none when nobody
// comes.
func (s *Server) Conferences(script Script) ([]string, error) {
	if err := s.progress(); err != nil {
		return nil, err
	}
	now := s.now()
	plan, people, err := script.read(now)
	if err != nil {
		return nil, err
	}
	st := s.store
	st.mu.Lock()
	defer st.mu.Unlock()
	sp := st.find(strings.TrimPrefix(script.Space, spacesPrefix), false)
	if script.Code != "" {
		sp = st.codes[strings.ToLower(script.Code)]
	}
	if sp == nil {
		return nil, &fieldError{"code", "no such space"}
	}
	names := []string{}
	lines := st.scratch[:0]
	for _, c := range meetings(people) {
		c.ID, c.Space, c.Owner, c.Plan = randomText(recordLetters, 20), sp.ID, sp.Owner, plan
		st.keepConference(c)
		st.planConference(c, time.Time{})
		lines = appendRecord(lines, record{Kind: "conf", Conference: c})
		names = append(names, c.name())
	}
	if err := s.advanceTo(now, lines); err != nil {
		return nil, err
	}
	return names, nil
}

// meetings splits what people do into conferences.
func meetings(people []*participant) []*conference {
	type stay struct {
		of *participant
		session
	}
	var stays []stay
	for _, p := range people {
		for _, in := range p.Sessions {
			stays = append(stays, stay{p, in})
		}
	}
	slices.SortFunc(stays, func(a, b stay) int { return a.Start.Compare(b.Start) })
	var out []*conference
	var in map[*participant]*participant
	for _, one := range stays {
		c := (*conference)(nil)
		if len(out) > 0 {
			c = out[len(out)-1]
		}
		if c == nil || one.Start.Sub(c.End) > emptyRoom {
			c = &conference{Start: one.Start, End: one.End}
			out = append(out, c)
			in = make(map[*participant]*participant)
		}
		if one.End.After(c.End) {
			c.End = one.End
		}
		p := in[one.of]
		if p == nil {
			p = &participant{ID: randomText(recordLetters, 20), Email: one.of.Email, Name: one.of.Name, Phone: one.of.Phone}
			in[one.of] = p
			c.People = append(c.People, p)
		}
		one.ID = randomText(recordLetters, 12)
		p.Sessions = append(p.Sessions, one.session)
	}
	return out
}

// read checks a script. Errors are *fieldError.
func (script *Script) read(now time.Time) (plan conferencePlan, people []*participant, err error) {
	if (script.Code == "") == (script.Space == "") {
		return plan, nil, &fieldError{"code", "want a meeting code or a space"}
	}
	start := now
	if script.Starts != "" {
		if start, err = time.Parse(time.RFC3339, script.Starts); err != nil {
			return plan, nil, &fieldError{"starts", `want a time such as "2026-12-01T15:00:00Z"`}
		}
		start = start.UTC()
	}
	read := func(field, text string, usual time.Duration) time.Duration {
		if text == "" {
			return usual
		}
		d, e := time.ParseDuration(text)
		if e != nil && err == nil {
			err = &fieldError{field, `want a duration such as "3m"`}
		}
		return d
	}
	plan = conferencePlan{
		Recording: cmp.Or(script.Recording, scriptAuto), Transcript: cmp.Or(script.Transcript, scriptAuto), Notes: cmp.Or(script.Notes, scriptAuto),
		Stops: read("recording_stops", script.RecordingStops, 0), FileAfter: read("file_after", script.FileAfter, usualFileWait),
		FateAfter: read("fate_after", script.FateAfter, 0), Fate: script.FileFate, FileSize: cmp.Or(script.FileSize, usualFileSize+rand.Int64N(usualFileSize)),
	}
	oneOf := func(field, have string, want ...string) {
		if !slices.Contains(want, have) && err == nil {
			err = &fieldError{field, "want one of " + strings.Join(want, ", ")}
		}
	}
	oneOf("recording", plan.Recording, scriptAuto, scriptNever, scriptStops, scriptTwo, scriptLost)
	oneOf("transcript", plan.Transcript, scriptAuto, scriptNever, scriptLost)
	oneOf("notes", plan.Notes, scriptAuto, scriptNever, scriptLost)
	oneOf("file_fate", plan.Fate, "", fateTrashed, fateDeleted)
	if (plan.FileSize < 0 || plan.FileAfter < 0 || plan.FateAfter < 0) && err == nil {
		err = &fieldError{"file_size", "want 0 or more, as of all lengths"}
	}
	for _, who := range script.People {
		p := &participant{Email: strings.ToLower(who.Email), Name: who.Name, Phone: who.Phone}
		if p.Email != "" && !validEmail(p.Email) || p.Email == "" && p.Name == "" && p.Phone == "" {
			return plan, nil, &fieldError{"people", "want an email, a name or a phone of each"}
		}
		for _, stay := range append([]ScriptStay{{who.Joins, who.Leaves}}, who.Rejoins...) {
			in := session{Start: start.Add(read("people", stay.Joins, 0)), End: start.Add(read("people", stay.Leaves, usualStay))}
			if !in.Start.Before(in.End) && err == nil {
				err = &fieldError{"people", "want everybody to leave after joining"}
			}
			p.Sessions = append(p.Sessions, in)
		}
		people = append(people, p)
	}
	return plan, people, err
}

func (s *Server) postConference(w http.ResponseWriter, r *http.Request) error {
	body, err := s.readControl(w, r)
	if err != nil {
		return err
	}
	var script Script
	if err := decodeStrict(body, &script); err != nil {
		return asFieldError(err)
	}
	names, err := s.Conferences(script)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, pretty(r, mustJSON(map[string][]string{"conferenceRecords": names})))
	return nil
}
