package command

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"github.com/google/uuid"
	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

func newMeetings(s *session) *cobra.Command {
	return group("meetings", "Make, read, move and cancel meetings", newCreate(s), newGet(s), newList(s), newReschedule(s), newCancel(s),
		newAttendance(s), newTranscript(s), newHold(s), newRelease(s))
}

// change is what every change of a meeting can be told.
type change struct {
	key  string
	wait waiting
}

func (c *change) flags(cmd *cobra.Command, wait string) {
	c.keyFlag(cmd)
	c.wait.flags(cmd, wait)
}

// keyFlag is all the flags of a change that Google hears nothing of.
func (c *change) keyFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.key, "idempotency-key", "", "a repeat with the same key answers what the first has become; absent: a new one")
}

// send makes the call under an idempotency key, so that a failed one can be repeated safely.
func send[Req, Resp any](ctx context.Context, s *session, c change, msg *Req, call func(context.Context, *connect.Request[Req]) (*connect.Response[Resp], error)) (*Resp, error) {
	if c.key == "" {
		c.key = uuid.NewString()
	}
	ctx, cancel := s.call(ctx)
	defer cancel()
	req := connect.NewRequest(msg)
	req.Header().Set("Idempotency-Key", c.key)
	resp, err := call(ctx, req)
	if err != nil {
		return nil, callError{err: err, key: c.key, server: s.server}
	}
	return resp.Msg, nil
}

// period is --start, --end and --duration.
type period struct {
	start, end string
	duration   time.Duration
}

func (p *period) flags(cmd *cobra.Command) {
	cmd.Flags().StringVar(&p.start, "start", "", `when it begins: 2026-12-01T15:00:00-05:00, or "2026-12-01 15:00" in --time-zone`)
	cmd.Flags().StringVar(&p.end, "end", "", "when it ends")
	cmd.Flags().DurationVar(&p.duration, "duration", 0, "how long it lasts, such as 30m, in place of --end")
}

// read gives start and end, each nil when not told.
func (p *period) read(cmd *cobra.Command, location *time.Location) (start, end *timestamppb.Timestamp, err error) {
	if start, err = timeFlag(cmd, "start", p.start, location); err != nil {
		return nil, nil, err
	}
	if end, err = timeFlag(cmd, "end", p.end, location); err != nil {
		return nil, nil, err
	}
	if cmd.Flags().Changed("duration") {
		switch {
		case end != nil:
			return nil, nil, usage("--end and --duration say the same: give one of them")
		case p.duration <= 0:
			return nil, nil, usage("--duration: %s is not longer than nothing; write as 30m", p.duration)
		case start == nil:
			return nil, nil, usage("--duration needs --start")
		}
		end = timestamppb.New(start.AsTime().Add(p.duration))
	}
	if start != nil && end != nil && !end.AsTime().After(start.AsTime()) {
		return nil, nil, usage("--end: must be after --start")
	}
	return start, end, nil
}

func newCreate(s *session) *cobra.Command {
	var (
		c                                          change
		p                                          period
		req                                        meetv1.CreateMeetingRequest
		record, calendar, public, guestsSee, async bool
	)
	cmd := &cobra.Command{
		Use: "create", Short: "Make a meeting and its Meet link", Args: none,
		Example: `  meetctl meetings create --organizer doctor@clinic.example --invite p@mail.example --start "2026-12-01 15:00" --duration 30m --time-zone America/Bogota`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if async && c.wait.on {
				return usage("--async and --wait contradict each other: give one of them")
			}
			start, end, err := p.read(cmd, s.location())
			if err != nil {
				return err
			}
			req.ScheduledStart, req.ScheduledEnd, req.TimeZone = start, end, s.zone
			for flag, field := range map[string]struct {
				at    **bool
				value *bool
			}{
				"auto-record": {&req.AutoRecord, &record}, "calendar-event": {&req.CreateCalendarEvent, &calendar},
				"public-access": {&req.PublicAccess, &public}, "guests-can-see-each-other": {&req.GuestsCanSeeEachOther, &guestsSee},
			} {
				if cmd.Flags().Changed(flag) {
					*field.at = field.value
				}
			}
			resp, err := send(cmd.Context(), s, c, &req, func(ctx context.Context, r *connect.Request[meetv1.CreateMeetingRequest]) (*connect.Response[meetv1.CreateMeetingResponse], error) {
				if async {
					r.Header().Set("Prefer", "respond-async")
				}
				return s.meetings().CreateMeeting(ctx, r)
			})
			if err != nil {
				return err
			}
			if resp.GetOperation() == "" || !c.wait.on {
				rows := s.meeting(resp.GetMeeting())
				if resp.GetOperation() != "" {
					rows = append(rows, []string{"operation", resp.GetOperation()})
				}
				return s.show(resp, rows)
			}
			operation, err := s.await(cmd.Context(), c.wait, resp.GetOperation())
			if err != nil {
				return err
			}
			if e := operation.GetError(); e != nil {
				return ended{fmt.Sprintf("meeting %d is made, its link is not: %s", operation.GetMeetingId(), problem(e)), exitConflict}
			}
			meeting, err := s.get(cmd.Context(), strconv.FormatInt(operation.GetMeetingId(), 10))
			if err != nil {
				return err
			}
			return s.show(&meetv1.CreateMeetingResponse{Meeting: meeting}, s.meeting(meeting))
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&req.OrganizerEmail, "organizer", "", "e-mail address of the organizer (required)")
	flags.StringSliceVar(&req.InvitedEmails, "invite", nil, "e-mail address of a guest; repeat it or separate by commas (required)")
	flags.StringVar(&req.Summary, "summary", "", "title")
	flags.StringVar(&req.Description, "description", "", "what it is about")
	flags.StringVar(&req.ExternalReference, "external-reference", "", "your own name for it")
	flags.BoolVar(&record, "auto-record", false, "record it; absent: as the server is set up")
	flags.BoolVar(&calendar, "calendar-event", true, "make a calendar event; false: a Meet space alone")
	flags.BoolVar(&public, "public-access", true, "guests from outside join without asking")
	flags.BoolVar(&guestsSee, "guests-can-see-each-other", false, "guests see who else is invited")
	flags.BoolVar(&async, "async", false, "do not let the server wait for Google")
	p.flags(cmd)
	c.flags(cmd, "wait until Google has made the link, beyond what the server waits")
	require(cmd, "organizer", "invite")
	return cmd
}

// require is a wrong use, with all that is missing, before the command runs.
func require(cmd *cobra.Command, flags ...string) {
	check := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return err
		}
		var missing []string
		for _, flag := range flags {
			if !cmd.Flags().Changed(flag) {
				missing = append(missing, "--"+flag)
			}
		}
		if len(missing) > 0 {
			return usage("%s must be given; see %s --help", strings.Join(missing, " and "), cmd.CommandPath())
		}
		return nil
	}
}

func (s *session) get(ctx context.Context, id string) (*meetv1.Meeting, error) {
	return ask(ctx, s, &meetv1.GetMeetingRequest{Id: id}, s.meetings().GetMeeting)
}

func newGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one meeting, by its number or uid", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			meeting, err := s.get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return s.show(meeting, s.meeting(meeting))
		},
	}
}

// meeting is one meeting as rows of name and value.
func (s *session) meeting(m *meetv1.Meeting) table {
	guests := strings.Join(m.GetInvitedEmails(), ", ")
	rows := table{
		{"id", strconv.FormatInt(m.GetId(), 10)},
		{"uid", m.GetUid()},
		{"status", word(m.GetStatus(), "MEETING_STATUS_")},
		{"link", orDash(m.GetMeetLink())},
		{"provisioning", word(m.GetProvisioning(), "PROVISIONING_")},
		{"google sync", word(m.GetGoogleSync(), "GOOGLE_SYNC_")},
		{"recording", recordingWords(m)},
		{"organizer", m.GetOrganizerEmail()},
		{"guests", orDash(guests)},
		{"start", s.time(m.GetScheduledStart())},
		{"end", s.time(m.GetScheduledEnd())},
		{"summary", orDash(m.GetSummary())},
		{"reference", orDash(m.GetExternalReference())},
		{"created", s.time(m.GetCreatedAt())},
		{"etag", m.GetEtag()},
	}
	if m.GetLegalHold() {
		rows = append(rows, []string{"legal hold", m.GetLegalHoldReason()})
	}
	if m.GetSimulated() {
		rows = append(rows, []string{"simulated", "yes: made by the Google emulator"})
	}
	if m.GetError() != nil {
		rows = append(rows, []string{"error", problem(m.GetError())})
	}
	return rows
}

// recordingWords is how far the recording has come, and why it may go no further.
func recordingWords(m *meetv1.Meeting) string {
	state := word(m.GetRecordingState(), "RECORDING_STATE_")
	if m.GetRecordingReason() != "" {
		state += ": " + m.GetRecordingReason()
	}
	return state
}

func newList(s *session) *cobra.Command {
	var (
		req               meetv1.ListMeetingsRequest
		status, recording string
		between           bounds
		pages             paging
	)
	statuses, recordings := words(meetv1.MeetingStatus_name, "MEETING_STATUS_"), words(meetv1.RecordingState_name, "RECORDING_STATE_")
	cmd := &cobra.Command{
		Use: "list", Short: "List meetings, newest first", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			state, err := choice("--status", status, meetv1.MeetingStatus_value, "MEETING_STATUS_", statuses)
			if err != nil {
				return err
			}
			req.Status = meetv1.MeetingStatus(state)
			if state, err = choice("--recording-state", recording, meetv1.RecordingState_value, "RECORDING_STATE_", recordings); err != nil {
				return err
			}
			req.RecordingState = meetv1.RecordingState(state)
			if req.ScheduledStartFrom, req.ScheduledStartTo, err = between.read(cmd, s.location()); err != nil {
				return err
			}
			list := &meetv1.ListMeetingsResponse{}
			list.NextPageToken, err = pages.collect(func(size int32, token string) (string, error) {
				req.PageSize, req.PageToken = size, token
				page, err := ask(cmd.Context(), s, &req, s.meetings().ListMeetings)
				list.Meetings = append(list.Meetings, page.GetMeetings()...)
				return page.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			rows := table{{"ID", "STATUS", "START", "ORGANIZER", "LINK", "CREATED"}}
			for _, m := range list.GetMeetings() {
				rows = append(rows, []string{
					strconv.FormatInt(m.GetId(), 10), word(m.GetStatus(), "MEETING_STATUS_"), s.time(m.GetScheduledStart()),
					orDash(m.GetOrganizerName()), orDash(m.GetMeetLink()), s.time(m.GetCreatedAt()),
				})
			}
			return s.showPage(list, rows, list.GetNextPageToken())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&status, "status", "", "only of this status: "+strings.Join(statuses, ", "))
	flags.StringVar(&recording, "recording-state", "", "only where the recording has come this far: "+strings.Join(recordings, ", "))
	between.flags(cmd, "only those that begin then or later", "only those that begin then or earlier")
	flags.Int64Var(&req.OrganizerId, "organizer-id", 0, "only of this user")
	flags.StringVar(&req.ExternalReference, "external-reference", "", "only with this reference")
	flags.StringVar(&req.InvitedEmail, "invited-email", "", "only with this guest")
	pages.flags(cmd)
	complete(cmd, "status", statuses...)
	complete(cmd, "recording-state", recordings...)
	return cmd
}

// words are an enum's values as a person writes them.
func words(names map[int32]string, prefix string) []string {
	var all []string
	for number, name := range names {
		if number != 0 {
			all = append(all, strings.ToLower(strings.TrimPrefix(name, prefix)))
		}
	}
	slices.Sort(all)
	return all
}

// choice is the enum value that text names; 0 for none.
func choice(flag, text string, values map[string]int32, prefix string, known []string) (int32, error) {
	if text == "" {
		return 0, nil
	}
	value := values[prefix+strings.ToUpper(text)]
	if value == 0 {
		return 0, usage("%s: %q is not known; use one of: %s", flag, text, strings.Join(known, ", "))
	}
	return value, nil
}

func newReschedule(s *session) *cobra.Command {
	var (
		c    change
		p    period
		etag string
	)
	cmd := &cobra.Command{
		Use: "reschedule ID", Short: "Move a meeting; it keeps its link", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			start, end, err := p.read(cmd, s.location())
			if err != nil {
				return err
			}
			mask := &fieldmaskpb.FieldMask{}
			if start != nil {
				mask.Paths = append(mask.Paths, "scheduled_start")
			}
			if end != nil {
				mask.Paths = append(mask.Paths, "scheduled_end")
			}
			if len(mask.GetPaths()) == 0 {
				return usage("--start or --end must be given; see %s --help", cmd.CommandPath())
			}
			resp, err := send(cmd.Context(), s, c, &meetv1.UpdateMeetingRequest{
				Id: args[0], Meeting: &meetv1.MeetingPatch{ScheduledStart: start, ScheduledEnd: end}, UpdateMask: mask, Etag: etag,
			}, s.meetings().UpdateMeeting)
			if err != nil {
				return err
			}
			return s.changed(cmd.Context(), c.wait, resp.GetMeeting())
		},
	}
	p.flags(cmd)
	etagFlag(cmd, &etag)
	c.flags(cmd, "wait until Google's calendar has the new time")
	return cmd
}

func newCancel(s *session) *cobra.Command {
	var (
		c    change
		etag string
	)
	cmd := &cobra.Command{
		Use: "cancel ID", Short: "Call a meeting off; guests are told", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := send(cmd.Context(), s, c, &meetv1.CancelMeetingRequest{Id: args[0], Etag: etag}, s.meetings().CancelMeeting)
			if err != nil {
				return err
			}
			return s.changed(cmd.Context(), c.wait, resp.GetMeeting())
		},
	}
	etagFlag(cmd, &etag)
	c.flags(cmd, "wait until it is gone from Google's calendar")
	return cmd
}

func etagFlag(cmd *cobra.Command, etag *string) {
	cmd.Flags().StringVar(etag, "etag", "", `only if the meeting still has this etag, such as '"3"'`)
}

// changed shows a meeting after a change, with --wait once Google has it too.
func (s *session) changed(ctx context.Context, wait waiting, m *meetv1.Meeting) error {
	if wait.on && m.GetGoogleSync() == meetv1.GoogleSync_GOOGLE_SYNC_PENDING {
		id := strconv.FormatInt(m.GetId(), 10)
		err := wait.until(ctx, "Google does not have the change of meeting "+id, func(ctx context.Context) (bool, error) {
			fresh, err := s.get(ctx, id)
			if err != nil {
				return false, err
			}
			m = fresh
			return m.GetGoogleSync() != meetv1.GoogleSync_GOOGLE_SYNC_PENDING, nil
		})
		if err != nil {
			return err
		}
	}
	if err := s.show(m, s.meeting(m)); err != nil {
		return err
	}
	if wait.on && m.GetGoogleSync() == meetv1.GoogleSync_GOOGLE_SYNC_FAILED {
		return ended{fmt.Sprintf("meeting %d is changed, Google's copy is not: %s", m.GetId(), problem(m.GetError())), exitConflict}
	}
	return nil
}
