package job

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
	"github.com/meet-middleware/meet-middleware/pkg/failpoint"
)

// Calendar is what is asked of Google Calendar. Errors are [*Failure]; any of them may be [Transient] or [Refused].
type Calendar interface {
	// Actor is in whose name the organizer's events are kept: his own, or an administrator's. It is an error where nobody may.
	Actor(organizer string) (string, error)
	// InsertEvent makes the event with a Meet conference and tells the guests. [Taken]: the id is used already, possibly by an
	// earlier try.
	InsertEvent(ctx context.Context, ref Ref, e Event) (EventState, error)
	// GetEvent also finds a deleted one. [NotFound].
	GetEvent(ctx context.Context, ref Ref) (EventState, error)
	// PatchEvent changes the event and tells the guests, unless it is not the one with this etag any more: [Stale]. An empty
	// etag is not compared. [NotFound], [Gone].
	PatchEvent(ctx context.Context, ref Ref, etag string, e Event) (EventState, error)
	// DeleteEvent tells the guests. [NotFound]: there never was one; [Gone]: it was deleted before.
	DeleteEvent(ctx context.Context, ref Ref) error
}

// Spaces is what is asked of Google Meet. Errors are [*Failure]; any of them may be [Transient] or [Refused].
type Spaces interface {
	// CreateSpace makes a space that belongs to no event. It has no id of ours: a try whose answer was lost leaves a space
	// that nobody knows of.
	CreateSpace(ctx context.Context, organizer string, s Settings) (SpaceState, error)
	// GetSpace finds a space by its meeting code or its name. [Hidden].
	GetSpace(ctx context.Context, organizer, codeOrName string) (SpaceState, error)
	// PatchSpace changes the settings that s names, by the space's name; a code would be refused. [Hidden].
	PatchSpace(ctx context.Context, organizer, name string, s Settings) (SpaceState, error)
}

// Settings of a space; what is empty is left alone.
type Settings struct {
	AutoRecording Switch
	Access        Access
}

// SpaceState is a Meet space as Google has it.
type SpaceState struct {
	Name, Link, Code string
	AutoRecording    Switch
	Access           Access
	Simulated        bool
}

// Timing is how long to wait for what. Use [DefaultTiming].
type Timing struct {
	// ConferencePolls are the pauses before each look at a conference that Google has not finished.
	ConferencePolls []time.Duration
	// SecondLook is how long after an event was not found, that a lost try may still have been making, it is looked for again.
	SecondLook time.Duration
	// Short are the pauses before the short retries of a dispatch, each a maximum: the real one is random below it.
	Short []time.Duration
	// Visible are the pauses in which a space that was made just now may become visible, all together about 30 s.
	Visible []time.Duration
	// Long is the first pause of a row that failed; it doubles up to LongMax.
	Long, LongMax time.Duration
	// ShortMax is the longest pause that a message is kept for; a longer one is the row's due time.
	ShortMax time.Duration
}

// DefaultTiming is what the scheduler runs with.
func DefaultTiming() Timing {
	return Timing{
		ConferencePolls: []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second},
		SecondLook:      3 * time.Second,
		Short:           []time.Duration{time.Second, 4 * time.Second, 16 * time.Second},
		Visible:         []time.Duration{2 * time.Second, 8 * time.Second, 20 * time.Second},
		Long:            30 * time.Second, LongMax: 10 * time.Minute,
		ShortMax: time.Minute,
	}
}

// SyncMeeting makes Google agree with a meeting. Running it twice for the same dispatch, one after the other or after a crash
// anywhere in between, asks for nothing twice: an event is found again by its id, a change by the version that is written on
// the event, settings by what the space answers, and a delete of what is gone is a success. A bare space alone has no id of
// ours, so a crash can leave one unused.
type SyncMeeting struct {
	calendar Calendar
	spaces   Spaces
	quotas   Quotas
	now      clock.Clock
	timing   Timing
	log      *slog.Logger
}

// NewSyncMeeting makes the job.
func NewSyncMeeting(calendar Calendar, spaces Spaces, quotas Quotas, now clock.Clock, timing Timing, log *slog.Logger) *SyncMeeting {
	return &SyncMeeting{calendar: calendar, spaces: spaces, quotas: quotas, now: now, timing: timing, log: log}
}

// Verdict is what becomes of a message.
type Verdict struct {
	// Outcome is to be reported; nil: nothing is, the message is to come again after Again.
	Outcome *Outcome
	Again   time.Duration
}

// Do takes the next step towards w. When ctx ends first the message is to come again at once.
func (s *SyncMeeting) Do(ctx context.Context, w Wish, a Attempt) Verdict {
	out := Outcome{Version: w.Version, Step: StepNone, Google: w.Google}
	with, release, err := s.quotas.Reserve(ctx, s.demand(w))
	if err == nil {
		err = s.step(with, w, a, &out)
		release()
	}
	if err == nil {
		out.Complete = out.Google.Deleted && w.Absent ||
			!w.Absent && out.Google.EventVersion >= w.Version && !w.settingsDue(out.Google)
		return Verdict{Outcome: &out}
	}
	if ctx.Err() != nil {
		return Verdict{}
	}
	f := failureOf(err)
	again, short := s.pause(f, a)
	level := slog.LevelWarn
	if f.Kind == Deferred {
		level = slog.LevelDebug // many at once, each of them as planned
	}
	s.log.Log(ctx, level, "google step failed", "meeting_id", w.MeetingID, "step", string(out.Step), "code", f.Code,
		"permanent", f.Permanent(), "retry_in", again, "delivered", a.Delivered, "failed_attempts", a.Failed, "error", err)
	if short {
		return Verdict{Again: again}
	}
	out.Failure = f
	if !f.Permanent() {
		out.RetryAt = s.Later(again)
	}
	return Verdict{Outcome: &out}
}

// Later is d from now on the clock of due times.
func (s *SyncMeeting) Later(d time.Duration) time.Time { return clock.Cut(s.now().Add(d)) }

// step takes one step and keeps what it learns in out, also when it fails half way.
func (s *SyncMeeting) step(ctx context.Context, w Wish, a Attempt, out *Outcome) error {
	switch {
	case w.Absent && w.Google.Deleted:
		return nil
	case w.Absent:
		return s.remove(ctx, w, a, out)
	case w.Google.EventVersion == 0 && w.Calendar:
		return s.createEvent(ctx, w, out)
	case w.Google.EventVersion == 0:
		return s.createSpace(ctx, w, out)
	}
	if w.Google.EventVersion < w.Version && w.Google.EventID != "" {
		changed, err := s.change(ctx, w, out)
		if changed || err != nil {
			return err
		}
	}
	out.Google.EventVersion = max(out.Google.EventVersion, w.Version)
	return s.settle(ctx, w, out)
}

// settingsDue: the space's settings differ from what is wanted, or are not known while something is wanted of them.
func (w Wish) settingsDue(c Copy) bool {
	return c.SettingsVersion < w.Version && w.settings(c) != Settings{}
}

// settings are those that have to change. Recording and access that nobody asked for stay as the organizer's defaults are.
func (w Wish) settings(c Copy) Settings {
	var s Settings
	switch {
	case w.AutoRecord && c.AutoRecording != On:
		s.AutoRecording = On
	case !w.AutoRecord && c.AutoRecording == On:
		s.AutoRecording = Off
	}
	switch {
	case w.PublicAccess && c.Access != Open:
		s.Access = Open
	case !w.PublicAccess && c.Access == Open:
		s.Access = Trusted
	}
	return s
}

// maxGenerations bounds the search for an id that no deleted event has used up.
const maxGenerations = 8

// createEvent inserts the event, or finds the one that an earlier try has inserted.
func (s *SyncMeeting) createEvent(ctx context.Context, w Wish, out *Outcome) error {
	out.Step = StepCreate
	actor, err := s.calendar.Actor(w.Organizer)
	if err != nil {
		return err
	}
	wanted := w.event(actor)
	for generation := w.Generation; generation < w.Generation+maxGenerations; generation++ {
		found := false
		ref := Ref{Organizer: w.Organizer, CalendarID: w.Google.CalendarID, EventID: EventID(w.MeetingUID, generation)}
		state, err := s.calendar.InsertEvent(ctx, ref, wanted)
		failpoint.Here("scheduler.inserted_event")
		if is(err, Taken) {
			found = true
			state, err = s.calendar.GetEvent(ctx, ref)
			if is(err, NotFound) { // a read may lag behind the write that took the id
				return &Failure{Kind: Transient, Code: CodeEventBusy, Message: "Google says that the event exists and that it does not; trying again", Err: err}
			}
			if err == nil && state.Cancelled {
				continue
			}
			if err == nil && state.MeetingUID != w.MeetingUID {
				return refused(CodeEventIDTaken, fmt.Sprintf("the calendar has an event with the id %s that is not of this meeting; remove it from the calendar's bin or choose another calendar", ref.EventID))
			}
		}
		if err != nil {
			return err
		}
		if generation > w.Generation {
			out.Generation = generation
		}
		if found && state.Version >= w.Version && !state.says(wanted) {
			// Somebody changed it before its maker had told: what is wanted wins.
			wanted.Guests = withAnswers(wanted.Guests, state.Guests)
			if state, err = s.calendar.PatchEvent(ctx, ref, state.ETag, wanted); err != nil {
				return err
			}
			wanted = w.event(actor)
		}
		return s.takeEvent(ctx, w, actor, wanted, ref, state, out)
	}
	return refused(CodeEventIDTaken, fmt.Sprintf("the event was deleted in the calendar %d times while it was being made", maxGenerations))
}

// takeEvent makes an inserted event the meeting's once it has a conference.
func (s *SyncMeeting) takeEvent(ctx context.Context, w Wish, actor string, wanted Event, ref Ref, state EventState, out *Outcome) error {
	for i := 0; state.Conference.State == ConferencePending || state.Conference.State == ConferenceAbsent; i++ {
		if i == len(s.timing.ConferencePolls) {
			break
		}
		if err := sleep(ctx, s.timing.ConferencePolls[i]); err != nil {
			return err
		}
		next, err := s.calendar.GetEvent(ctx, ref)
		if err != nil {
			return err
		}
		state = next
	}
	c := &out.Google
	switch state.Conference.State {
	case ConferenceReady:
		c.CalendarID, c.EventID, c.Simulated = state.CalendarID, state.EventID, state.Simulated
		c.Link, c.Code = state.Conference.Link, state.Conference.Code
		// An event that an earlier try has made may say what was wanted then: the next step changes it.
		c.take(actor, state, min(max(state.Version, 1), w.Version), "")
		if c.EventVersion == w.Version {
			c.EventDigest = wanted.digest()
			if !w.settingsDue(*c) {
				c.SettingsVersion = w.Version
			}
		}
		return nil
	case ConferencePending:
		// The version stays 0, so that the next try finds the event by its id and looks again.
		return &Failure{Kind: Transient, Code: CodeConferencePending, Message: "Google has not finished the Meet conference yet; trying again"}
	case ConferenceAbsent, ConferenceFailed:
	}
	// An event without a link is of no use to the guests, and the next try needs a new conference request, which only a new
	// event takes.
	if err := s.calendar.DeleteEvent(ctx, ref); err != nil && !is(err, NotFound, Gone) {
		return err
	}
	return refused(CodeConferenceFailed, "Google made the calendar event but no Meet conference, and the event was removed again; check that the organizer's account may create Meet conferences, then provision the meeting again")
}

// createSpace makes a bare space with its settings in one call.
func (s *SyncMeeting) createSpace(ctx context.Context, w Wish, out *Outcome) error {
	out.Step = StepCreate
	settings := w.settings(Copy{})
	actor, err := s.calendar.Actor(w.Organizer)
	if err != nil {
		return err
	}
	space, err := s.spaces.CreateSpace(ctx, w.Organizer, settings)
	failpoint.Here("scheduler.created_space")
	var refusal error
	if is(err, Refused) && settings != (Settings{}) {
		// A refusal of the settings must not cost the link.
		if plain, plainErr := s.spaces.CreateSpace(ctx, w.Organizer, Settings{}); plainErr == nil {
			space, refusal, err = plain, settingsRefused(err), nil
		}
	}
	if err != nil {
		return err
	}
	c := &out.Google
	c.Space, c.Link, c.Code, c.Simulated = space.Name, space.Link, space.Code, space.Simulated
	c.Account = actor // whoever owns the space is shown what is held in it
	c.EventVersion = w.Version
	if refusal != nil {
		return refusal
	}
	return s.takeSettings(w, settings, space, out)
}

// change makes an event say what is wanted. It tells whether Google was asked.
func (s *SyncMeeting) change(ctx context.Context, w Wish, out *Outcome) (bool, error) {
	actor, err := s.calendar.Actor(w.Organizer)
	if err != nil {
		out.Step = StepChange
		return true, err
	}
	c := &out.Google
	wanted := w.event(actor)
	digest := wanted.digest()
	if c.EventDigest == digest {
		return false, nil // the change was of something that the event does not show
	}
	out.Step = StepChange
	ref := Ref{Organizer: w.Organizer, CalendarID: c.CalendarID, EventID: c.EventID}
	etag, patch := c.EventETag, wanted
	if sameGuests(c.EventDigest, digest) && etag != "" {
		patch.Guests = nil
	} else {
		etag = "" // their answers have to be read before the list is written
	}
	const tries = 4
	for range tries {
		if etag == "" {
			state, err := s.calendar.GetEvent(ctx, ref)
			switch {
			case is(err, NotFound, Gone) || err == nil && state.Cancelled:
				return true, eventGone(err)
			case err != nil:
				return true, err
			case state.says(wanted):
				// An earlier try has changed it and its answer was lost: the guests have been told. Or somebody did by hand
				// what was wanted.
				c.take(actor, state, w.Version, digest)
				return true, nil
			}
			etag, patch.Guests = state.ETag, nil
			if !state.invites(wanted.Guests) {
				patch.Guests = withAnswers(wanted.Guests, state.Guests)
			}
		}
		state, err := s.calendar.PatchEvent(ctx, ref, etag, patch)
		failpoint.Here("scheduler.patched_event")
		switch {
		case is(err, Stale):
			etag = ""
			continue
		case is(err, NotFound, Gone) || err == nil && state.Cancelled:
			return true, eventGone(err)
		case err != nil:
			return true, err
		}
		c.take(actor, state, w.Version, digest)
		return true, nil
	}
	return true, &Failure{Kind: Transient, Code: CodeEventBusy, Message: "somebody else changes the event at the same time; trying again"}
}

func eventGone(err error) *Failure {
	return &Failure{
		Kind: Refused, Code: CodeEventGone, Err: err,
		Message: "the event was deleted in Google Calendar; cancel this meeting and create a new one, or restore the event from the calendar's bin and change the meeting again",
	}
}

// settle makes the space's settings equal.
func (s *SyncMeeting) settle(ctx context.Context, w Wish, out *Outcome) error {
	c := &out.Google
	if c.SettingsVersion >= w.Version {
		return nil
	}
	if !w.settingsDue(*c) {
		c.SettingsVersion = w.Version
		return nil
	}
	out.Step = StepSettings
	if c.Space == "" {
		space, err := s.spaces.GetSpace(ctx, w.Organizer, c.Code)
		if err != nil {
			return err
		}
		c.Space, c.AutoRecording, c.Access = space.Name, space.AutoRecording, space.Access
	}
	settings := w.settings(*c)
	if settings == (Settings{}) {
		c.SettingsVersion = w.Version
		return nil
	}
	space, err := s.spaces.PatchSpace(ctx, w.Organizer, c.Space, settings)
	failpoint.Here("scheduler.patched_space")
	if is(err, Refused) && settings.AutoRecording != "" && settings.Access != "" {
		// One refused setting sinks the other; the access does not hang on a licence.
		if opened, accessErr := s.spaces.PatchSpace(ctx, w.Organizer, c.Space, Settings{Access: settings.Access}); accessErr == nil {
			c.AutoRecording, c.Access = opened.AutoRecording, opened.Access
		}
	}
	if is(err, Refused) {
		return settingsRefused(err)
	}
	if err != nil {
		return err
	}
	return s.takeSettings(w, settings, space, out)
}

// takeSettings keeps what the space answered, and believes it only.
func (s *SyncMeeting) takeSettings(w Wish, asked Settings, space SpaceState, out *Outcome) error {
	c := &out.Google
	c.AutoRecording, c.Access = space.AutoRecording, space.Access
	if asked.AutoRecording == On && space.AutoRecording != On {
		return refused(CodeRecordingNotSet, "Google took the recording setting but does not show it as ON; check that the organizer's Workspace edition includes recording and that the administrator allows it")
	}
	if asked.Access != "" && space.Access != asked.Access {
		return refused(CodeSettingsRefused, fmt.Sprintf("Google took the access setting but shows %q instead of %q; check the Meet safety settings of the organizer's unit in the admin console", space.Access, asked.Access))
	}
	c.SettingsVersion = w.Version
	return nil
}

// settingsRefused keeps Google's reason and says that the link is not concerned.
func settingsRefused(err error) *Failure {
	f := failureOf(err)
	return &Failure{Kind: Refused, Code: f.Code, Err: f, Message: "the meeting has its link, but Google refused its recording and access settings: " + f.Message}
}

// remove deletes the event of a cancelled meeting, one that an earlier try may have made without telling included.
func (s *SyncMeeting) remove(ctx context.Context, w Wish, a Attempt, out *Outcome) error {
	out.Step = StepDelete
	if w.Google.EventID == "" && (!w.Calendar || w.Google.EventVersion > 0) {
		out.Google.Deleted = true // a bare space can't be deleted, and nothing hangs on it
		return nil
	}
	ref := Ref{Organizer: w.Organizer, CalendarID: w.Google.CalendarID, EventID: w.Google.EventID}
	if ref.EventID != "" {
		err := s.calendar.DeleteEvent(ctx, ref)
		failpoint.Here("scheduler.deleted_event")
		if err != nil && !is(err, NotFound, Gone) {
			return err
		}
		out.Google.Deleted = true
		return nil
	}
	looked := a.first()
	for generation := w.Generation; generation < w.Generation+maxGenerations; {
		ref.EventID = EventID(w.MeetingUID, generation)
		err := s.calendar.DeleteEvent(ctx, ref)
		failpoint.Here("scheduler.deleted_event")
		switch {
		case is(err, Gone):
			generation++ // whoever found this id used up went on to the next
			continue
		case is(err, NotFound) && !looked:
			// The insert of a try that was cut off may still be under way.
			looked = true
			if err := sleep(ctx, s.timing.SecondLook); err != nil {
				return err
			}
			continue
		case err != nil && !is(err, NotFound):
			return err
		}
		break
	}
	out.Google.Deleted = true
	return nil
}
