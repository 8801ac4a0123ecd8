package doctor

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"google.golang.org/api/calendar/v3"
	"google.golang.org/api/googleapi"
	"google.golang.org/api/meet/v2"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/google"
)

const (
	// trialTitle is seen by nobody but the owner of the calendar, for seconds.
	trialTitle = "Meet Middleware: set-up check (removed by itself)"
	// trialAhead is how far in the future the trial is, so that nobody is reminded of it.
	trialAhead = 30 * 24 * time.Hour
	// cleanTimeout bounds the removal, which happens even where the visit is over.
	cleanTimeout = 5 * time.Second
	// settleTimeout is how long a new Meet may take to be there.
	settleTimeout = 12 * time.Second
)

// recording makes an event with a Meet, tells the Meet to record, reads that back and removes the event: nothing less proves
// that the account may.
func (g *googleChecks) recording(ctx context.Context, v *Visit) (found Finding) {
	onCalendar, _ := v.Google.Options(ctx, v.Actor, scopeCalendar, "/calendar/v3/") // the checks before this one have seen that there are tokens
	onSpaces, _ := v.Google.Options(ctx, v.Actor, scopeSettings, "/")
	calendars, err := calendar.NewService(ctx, onCalendar...)
	if err != nil {
		return failed("", "", "the calendar client could not be made: %v", err)
	}
	spaces, err := meet.NewService(ctx, onSpaces...)
	if err != nil {
		return failed("", "", "the meet client could not be made: %v", err)
	}
	trial := &trial{events: calendars.Events, spaces: spaces.Spaces, calendar: g.CalendarID, actor: v.Actor, id: trialID()}
	// The id is ours, so the event is found and removed even when the answer to its making was lost.
	defer func() {
		if err := trial.remove(ctx); err != nil {
			left := fmt.Sprintf("the event %s that this check made in the calendar %q of %s could not be removed (%q)", trial.id, g.CalendarID, v.Actor, google.ExplainCall(ctx, err).Said)
			if found.Status == Failed {
				found.Detail += "; and " + left
				return
			}
			found = failed("Google Calendar of "+v.Actor+", in 30 days: delete it by hand", trialTitle, "%s", left)
		}
	}()
	return trial.run(ctx)
}

func trialID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	return "mmcheck" + strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(id[:]))
}

// trial is one event from making to removing.
type trial struct {
	events              *calendar.EventsService
	spaces              *meet.SpacesService
	calendar, actor, id string
	// unsure: the answer to the making was lost, so what is not there may still come.
	unsure bool
}

func (t *trial) run(ctx context.Context) Finding {
	code, f := t.insert(ctx)
	if f != nil {
		return *f
	}
	space, err := t.space(ctx, code)
	if err != nil {
		return t.refused(ctx, err, "Google does not show %s the Meet that it made", t.actor)
	}
	want := &meet.Space{Config: &meet.SpaceConfig{ArtifactConfig: &meet.ArtifactConfig{RecordingConfig: &meet.RecordingConfig{AutoRecordingGeneration: "ON"}}}}
	_, err = t.spaces.Patch(space.Name, want).UpdateMask("config.artifactConfig.recordingConfig.autoRecordingGeneration").Context(ctx).Do()
	if err != nil {
		if why := google.ExplainCall(ctx, err); why.Status == http.StatusForbidden && why.Code != google.CodeAPIDisabled {
			return failed(placeRecording, t.actor, "%s may not switch recording on: its edition has none, or the administrator does not allow it (%q)", t.actor, why.Said)
		}
		return t.refused(ctx, err, "recording could not be switched on for %s", t.actor)
	}
	space, err = t.spaces.Get(space.Name).Context(ctx).Do()
	if err != nil {
		return t.refused(ctx, err, "Google does not show %s the Meet that it made", t.actor)
	}
	if !records(space) {
		return failed(placeRecording, t.actor, "Google took the wish to record and left recording off: %s has no edition that records, or the administrator does not allow it", t.actor)
	}
	return ok("%s made a Meet that records; it is removed again", t.actor)
}

func records(s *meet.Space) bool {
	c := s.Config
	return c != nil && c.ArtifactConfig != nil && c.ArtifactConfig.RecordingConfig != nil && c.ArtifactConfig.RecordingConfig.AutoRecordingGeneration == "ON"
}

// insert makes the event and waits for its Meet; code is the meeting's.
func (t *trial) insert(ctx context.Context) (code string, f *Finding) {
	begin := time.Now().UTC().Add(trialAhead).Truncate(time.Hour)
	at := func(at time.Time) *calendar.EventDateTime {
		return &calendar.EventDateTime{DateTime: at.Format(time.RFC3339), TimeZone: "UTC"}
	}
	event, err := t.events.Insert(t.calendar, &calendar.Event{
		Id: t.id, Summary: trialTitle, Start: at(begin), End: at(begin.Add(15 * time.Minute)), Transparency: "transparent",
		Reminders: &calendar.EventReminders{ForceSendFields: []string{"UseDefault"}},
		ConferenceData: &calendar.ConferenceData{CreateRequest: &calendar.CreateConferenceRequest{
			RequestId: t.id, ConferenceSolutionKey: &calendar.ConferenceSolutionKey{Type: "hangoutsMeet"},
		}},
	}).ConferenceDataVersion(1).SendUpdates("none").Context(ctx).Do()
	if err != nil {
		why := google.ExplainCall(ctx, err)
		if why.Code == google.CodeImpersonationMissing {
			g := t.noMeet(why.Said)
			return "", &g
		}
		t.unsure = temporary(why)
		g := t.refused(ctx, err, "%s could not make an event in the calendar %q", t.actor, t.calendar)
		return "", &g
	}
	event, err = settle(ctx, func() (*calendar.Event, error) {
		if conferenceStatus(event) != "pending" {
			return event, nil
		}
		if event, err = t.events.Get(t.calendar, t.id).Context(ctx).Do(); err != nil {
			return nil, backoff.Permanent(err)
		}
		if conferenceStatus(event) == "pending" {
			return event, errPending
		}
		return event, nil
	})
	switch {
	case errors.Is(err, errPending):
		g := Finding{Warning, "Google had not finished the Meet of the event when the check ended; try again", "", ""}
		return "", &g
	case err != nil:
		g := t.refused(ctx, err, "%s could not read the event that it made", t.actor)
		return "", &g
	case conferenceStatus(event) == "failure" || event.ConferenceData == nil || event.ConferenceData.ConferenceId == "":
		g := t.noMeet("the event has no Meet")
		return "", &g
	}
	return event.ConferenceData.ConferenceId, nil
}

func (t *trial) noMeet(said string) Finding {
	return failed(placeMeetService, t.actor, "%s gets no Meet links: it has no licence with Meet, or Meet is off for its unit (%q)", t.actor, said)
}

// errPending: the Meet is not there yet.
var errPending = errors.New("the conference is pending")

func conferenceStatus(e *calendar.Event) string {
	if e.ConferenceData == nil || e.ConferenceData.CreateRequest == nil || e.ConferenceData.CreateRequest.Status == nil {
		return ""
	}
	return e.ConferenceData.CreateRequest.Status.StatusCode
}

// space reads the Meet, which may take a moment to be visible.
func (t *trial) space(ctx context.Context, code string) (*meet.Space, error) {
	return settle(ctx, func() (*meet.Space, error) {
		space, err := t.spaces.Get("spaces/" + code).Context(ctx).Do()
		if err == nil {
			return space, nil
		}
		if why := google.ExplainCall(ctx, err); why.Code == google.CodeSpaceDenied || temporary(why) {
			return nil, err
		}
		return nil, backoff.Permanent(err)
	})
}

// settle repeats get with growing pauses until it succeeds, fails for good, or settleTimeout is over; then its last error.
func settle[T any](ctx context.Context, get func() (T, error)) (T, error) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 250*time.Millisecond, 4*time.Second
	return backoff.Retry(ctx, get, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(settleTimeout))
}

// refused is a refusal of no particular kind.
func (t *trial) refused(ctx context.Context, err error, format string, args ...any) Finding {
	why := google.ExplainCall(ctx, err)
	said := why.Said
	switch {
	case temporary(why):
		return unreachable("Google", why)
	case why.Code == google.CodeAPIDisabled:
		return failed("Cloud console, APIs & Services, Library", why.ActivationURL, "the API %s is not enabled", why.Service)
	}
	return failed(placeMeetService, t.actor, "%s (%q)", fmt.Sprintf(format, args...), said)
}

// remove deletes the event; one that is not there is a success, at the second look where it may still come. It tries four times,
// since nobody else will.
func (t *trial) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	_, err := backoff.Retry(ctx, func() (struct{}, error) {
		err := t.events.Delete(t.calendar, t.id).SendUpdates("none").Context(ctx).Do()
		var e *googleapi.Error
		if errors.As(err, &e) && (e.Code == http.StatusNotFound || e.Code == http.StatusGone) {
			again := t.unsure
			if t.unsure = false; again {
				return struct{}{}, err
			}
			return struct{}{}, nil
		}
		if err != nil && !temporary(google.ExplainCall(ctx, err)) {
			return struct{}{}, backoff.Permanent(err)
		}
		return struct{}{}, err
	}, backoff.WithMaxTries(4))
	return err
}
