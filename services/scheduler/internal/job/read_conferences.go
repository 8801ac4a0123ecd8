package job

import (
	"context"
	"errors"
	"iter"
	"log/slog"
	"slices"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/clock"
)

// Records is what is asked of Google Meet about conferences that were held. Errors are [*Failure]; [Gone]: the account is shown
// no such record. A list is read page by page: next is empty on the last one.
type Records interface {
	// ListConferences gives those that the account can see and that began in the window, newest first. space narrows it to one.
	ListConferences(ctx context.Context, account, space string, from, until time.Time, page string) (held []Held, next string, err error)
	GetConference(ctx context.Context, account, record string) (Held, error)
	ListRecordings(ctx context.Context, account, record, page string) (recordings []Recording, next string, err error)
	ListAttendees(ctx context.Context, account, record, page string) (attendees []Attendee, next string, err error)
	ListStays(ctx context.Context, account, attendee, page string) (stays []Stay, next string, err error)
	ListTranscripts(ctx context.Context, account, record, page string) (transcripts []Transcript, next string, err error)
	ListEntries(ctx context.Context, account, transcript, page string) (entries []Entry, next string, err error)
}

// Files is what is asked of Google Drive. Errors are [*Failure].
type Files interface {
	// GetFile tells of a file; one that is not shown is [FileGone], and no error.
	GetFile(ctx context.Context, account, id string) (File, error)
}

// Directory tells who a number is. Errors are [*Failure].
type Directory interface {
	// KnownEmail is what was told of users/… lately; known also where it is not to be asked, was refused or knows nobody.
	KnownEmail(account, user string) (email string, known bool)
	// EmailOf asks for the address of users/…; empty: nobody that the account may know of.
	EmailOf(ctx context.Context, account, user string) (string, error)
	// UserOf gives users/… of the account itself.
	UserOf(ctx context.Context, account string) (string, error)
}

// Observation is what came of reading conferences once.
type Observation struct {
	// Conferences in the order in which they were read; a conference is there once.
	Conferences []Held
	// Listed: all that began in the plan's window are among them.
	Listed bool
	// Subscription as it is now; nil: not looked at.
	Subscription *Subscription
	// Failure is nil on success; what was read before it is true all the same. RetryAt is when to try again where it is not for
	// good.
	Failure *Failure
	RetryAt time.Time
}

// ReadConferences reads what conferences left at Google, and keeps the subscription that tells of them. It reads what the plan
// asks for and not a call more. Running it twice reads twice.
type ReadConferences struct {
	records       Records
	files         Files
	directory     Directory
	subscriptions Subscriptions
	quotas        Quotas
	now           clock.Clock
	timing        Timing
	log           *slog.Logger
}

// NewReadConferences makes the job.
func NewReadConferences(records Records, files Files, directory Directory, subscriptions Subscriptions, quotas Quotas, now clock.Clock, timing Timing, log *slog.Logger) *ReadConferences {
	return &ReadConferences{
		records: records, files: files, directory: directory, subscriptions: subscriptions, quotas: quotas, now: now, timing: timing, log: log,
	}
}

// Do reads. When ctx ends first the message is to come again, which ok tells.
func (r *ReadConferences) Do(ctx context.Context, p ConferencePlan, failedAttempts int) (o Observation, ok bool) {
	if p.Account == "" && (p.Listing() || len(p.Looks) > 0 || p.Upkeep) { // what nobody is shown says nothing about what was held
		failure := &Failure{Kind: Refused, Code: CodeOwnerUnknown, Message: "it is not known whose space it is, so nothing was read"}
		r.log.WarnContext(ctx, "conferences of nobody were to be read", "code", failure.Code)
		return Observation{Failure: failure}, true
	}
	v := &visit{ReadConferences: r, plan: p, refused: make(map[Class]*Failure)}
	// The subscription first, so that nothing falls between the reading and the first notice.
	err := v.upkeep(ctx)
	if broken := v.read(ctx); broken != nil {
		err = broken // reading is the job, the subscription only makes it rarer
	}
	if err != nil && ctx.Err() != nil {
		return v.out, false
	}
	if err == nil {
		err = v.firstRefusal()
	}
	if err == nil {
		return v.out, true
	}
	failure := failureOf(err)
	v.out.Failure = failure
	if !failure.Permanent() {
		after := max(min(failure.After, maxAfter), r.timing.Long<<min(failedAttempts, 8))
		if failure.Kind == Deferred {
			after = failure.After
		}
		v.out.RetryAt = clock.Cut(r.now().Add(after + jitter(after/4)))
	}
	level := slog.LevelWarn
	if failure.Kind == Deferred {
		level = slog.LevelDebug
	}
	r.log.Log(ctx, level, "conferences could not be read", "code", failure.Code, "permanent", failure.Permanent(), "failed_attempts", failedAttempts, "error", err)
	return v.out, true
}

// visit is one run.
type visit struct {
	*ReadConferences

	plan ConferencePlan
	out  Observation
	// refused are the classes of calls that Google refuses for good: asking again for the next conference would only repeat it.
	refused map[Class]*Failure
	order   []Class
}

func (v *visit) firstRefusal() error {
	if len(v.order) == 0 {
		return nil
	}
	return v.refused[v.order[0]]
}

// errSkipped: a call was refused for good, or not made because its like was.
var errSkipped = errors.New("google refuses such calls")

// once makes one call when no create or change wants the quota.
func (v *visit) once(ctx context.Context, class Class, call func(context.Context) error) error {
	with, release, err := v.quotas.Reserve(ctx, Demand{Organizer: v.plan.Account, Calls: []Class{class}})
	if err != nil {
		return err
	}
	defer release()
	return call(with)
}

// call is once, but for what Google refuses for good: that is kept, and its like not asked again. [errSkipped] says so.
func (v *visit) call(ctx context.Context, class Class, call func(context.Context) error) error {
	if v.refused[class] != nil {
		return errSkipped
	}
	err := v.once(ctx, class, call)
	if is(err, Refused) {
		v.refused[class], v.order = failureOf(err), append(v.order, class)
		return errSkipped
	}
	return err
}

// pages calls list until its last page.
func pages[T any](ctx context.Context, v *visit, class Class, list func(ctx context.Context, page string) ([]T, string, error)) iter.Seq2[[]T, error] {
	return func(yield func([]T, error) bool) {
		for page := ""; ; {
			var items []T
			var next string
			err := v.call(ctx, class, func(ctx context.Context) (err error) {
				items, next, err = list(ctx, page)
				return err
			})
			if !yield(items, err) || err != nil || next == "" {
				return
			}
			page = next
		}
	}
}

// read does the plan. Its error stops it; what was refused for good does not.
func (v *visit) read(ctx context.Context) error {
	if err := v.list(ctx); err != nil {
		return err
	}
	for _, look := range v.plan.Looks {
		if err := v.look(ctx, v.held(look.Record), look); err != nil {
			return err
		}
	}
	if v.plan.Fresh == (Look{}) {
		return nil
	}
	for i := range v.out.Conferences {
		h := &v.out.Conferences[i]
		if h.Space != v.plan.FreshSpace || slices.ContainsFunc(v.plan.Looks, func(l Look) bool { return l.Record == h.Record }) {
			continue
		}
		look := v.plan.Fresh
		look.Record, look.Itself = h.Record, false // the listing has just told
		if err := v.look(ctx, i, look); err != nil {
			return err
		}
	}
	return nil
}

// held finds a conference in the outcome, or adds it.
func (v *visit) held(record string) int {
	i := slices.IndexFunc(v.out.Conferences, func(h Held) bool { return h.Record == record })
	if i < 0 {
		i = len(v.out.Conferences)
		v.out.Conferences = append(v.out.Conferences, Held{Record: record})
	}
	return i
}

// list reads which conferences there were.
func (v *visit) list(ctx context.Context) error {
	if !v.plan.Listing() {
		return nil
	}
	space := ""
	if len(v.plan.Spaces) == 1 {
		space = v.plan.Spaces[0]
	}
	listed := pages(ctx, v, ClassMeetRead, func(ctx context.Context, page string) ([]Held, string, error) {
		return v.records.ListConferences(ctx, v.plan.Account, space, v.plan.ListFrom, v.plan.ListUntil, page)
	})
	for found, err := range listed {
		if err != nil {
			return passed(err)
		}
		for _, h := range found {
			// The account sees what it attended elsewhere too. A conference that begins while the pages are read moves the rest, so that
			// one may come twice.
			if len(v.plan.Spaces) == 0 || slices.Contains(v.plan.Spaces, h.Space) {
				v.out.Conferences[v.held(h.Record)] = h
			}
		}
	}
	v.out.Listed = true
	return nil
}

// passed lets the rest go on after what was refused for good: it is told at the end.
func passed(err error) error {
	if errors.Is(err, errSkipped) {
		return nil
	}
	return err
}

// look reads what is wanted of the conference at i.
func (v *visit) look(ctx context.Context, i int, l Look) error {
	h := &v.out.Conferences[i]
	for _, step := range []struct {
		wanted bool
		read   func(context.Context, *Held, Look) error
		// whole: of a conference that runs it is read later, when it is all there.
		whole bool
	}{
		{wanted: l.Itself && !h.Read, read: v.itself},
		{wanted: l.Recordings || l.Files, read: v.recordings},
		{wanted: l.Attendees || l.Stays, read: v.attendees, whole: true},
		{wanted: l.Transcripts || l.TranscriptEntries, read: v.transcripts, whole: true},
	} {
		if !step.wanted || h.Gone || step.whole && h.Read && h.Ended.IsZero() {
			continue
		}
		switch err := step.read(ctx, h, l); {
		case is(err, Gone):
			h.Gone = true
		case err != nil:
			if err := passed(err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (v *visit) itself(ctx context.Context, h *Held, _ Look) error {
	var got Held
	err := v.call(ctx, ClassMeetRead, func(ctx context.Context) (err error) {
		got, err = v.records.GetConference(ctx, v.plan.Account, h.Record)
		return err
	})
	if err != nil {
		return err
	}
	h.Space, h.Started, h.Ended, h.Expires, h.Read = got.Space, got.Started, got.Ended, got.Expires, true
	return nil
}

func (v *visit) recordings(ctx context.Context, h *Held, l Look) error {
	listed := pages(ctx, v, ClassMeetRead, func(ctx context.Context, page string) ([]Recording, string, error) {
		return v.records.ListRecordings(ctx, v.plan.Account, h.Record, page)
	})
	for found, err := range listed {
		if err != nil {
			return err
		}
		h.Recordings = append(h.Recordings, found...)
	}
	h.RecordingsRead = true
	if !l.Files {
		return nil
	}
	for i := range h.Recordings {
		recording := &h.Recordings[i]
		if recording.FileID == "" {
			continue
		}
		err := v.call(ctx, ClassDrive, func(ctx context.Context) error {
			file, err := v.files.GetFile(ctx, v.plan.Account, recording.FileID)
			if err == nil {
				recording.File = &file
			}
			return err
		})
		if err := passed(err); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) attendees(ctx context.Context, h *Held, l Look) error {
	listed := pages(ctx, v, ClassMeetRead, func(ctx context.Context, page string) ([]Attendee, string, error) {
		return v.records.ListAttendees(ctx, v.plan.Account, h.Record, page)
	})
	for found, err := range listed {
		if err != nil {
			return err
		}
		h.Attendees = append(h.Attendees, found...)
	}
	h.AttendeesRead = true
	for i := range h.Attendees {
		a := &h.Attendees[i]
		if err := v.email(ctx, a); err != nil {
			return err
		}
		if !l.Stays {
			continue
		}
		stays := pages(ctx, v, ClassMeetRead, func(ctx context.Context, page string) ([]Stay, string, error) {
			return v.records.ListStays(ctx, v.plan.Account, a.Name, page)
		})
		for found, err := range stays {
			if err != nil {
				return err
			}
			a.Stays = append(a.Stays, found...)
		}
		a.StaysRead = true
	}
	return nil
}

// email asks who signed in. Without an answer the person is known by name and number, which is no failure.
func (v *visit) email(ctx context.Context, a *Attendee) error {
	if a.User == "" {
		return nil
	}
	var known bool
	if a.Email, known = v.directory.KnownEmail(v.plan.Account, a.User); known {
		return nil
	}
	err := v.once(ctx, ClassDirectory, func(ctx context.Context) (err error) {
		a.Email, err = v.directory.EmailOf(ctx, v.plan.Account, a.User)
		return err
	})
	if err != nil && ctx.Err() != nil {
		return err
	}
	if err != nil {
		v.log.DebugContext(ctx, "directory did not tell who attended", "error", err)
	}
	return nil
}

func (v *visit) transcripts(ctx context.Context, h *Held, l Look) error {
	listed := pages(ctx, v, ClassMeetRead, func(ctx context.Context, page string) ([]Transcript, string, error) {
		return v.records.ListTranscripts(ctx, v.plan.Account, h.Record, page)
	})
	for found, err := range listed {
		if err != nil {
			return err
		}
		h.Transcripts = append(h.Transcripts, found...)
	}
	h.TranscriptsRead = true
	if !l.TranscriptEntries {
		return nil
	}
	for i := range h.Transcripts {
		t := &h.Transcripts[i]
		if t.State != StateFileGenerated { // people are still talking, or it is being written
			continue
		}
		entries := pages(ctx, v, ClassMeetRead, func(ctx context.Context, page string) ([]Entry, string, error) {
			return v.records.ListEntries(ctx, v.plan.Account, t.Name, page)
		})
		for found, err := range entries {
			if err != nil {
				return err
			}
			t.Entries = append(t.Entries, found...)
		}
		t.EntriesRead = true
	}
	return nil
}

// StateFileGenerated is the last state of a recording and of a transcript (Meet API, Recording.state).
const StateFileGenerated = "FILE_GENERATED"
