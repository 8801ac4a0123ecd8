package command

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/types/known/timestamppb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

func newAttendance(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "attendance ID", Short: "Show who was invited, who answered and who was there", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := ask(cmd.Context(), s, &meetv1.GetAttendanceRequest{MeetingId: args[0]}, s.recordings().GetAttendance)
			if err != nil {
				return err
			}
			return s.show(a, s.attendance(a))
		},
	}
}

// attendance is a table of those invited, and where somebody was seen, one of the conferences and one of the people.
func (s *session) attendance(a *meetv1.Attendance) table {
	rows := table{{"INVITED", "ROLE", "ANSWER", "ATTENDANCE", "JOINED", "LEFT", "KNOWN FROM"}}
	for _, i := range a.GetInvited() {
		rows = append(rows, []string{
			i.GetEmail(), word(i.GetRole(), "PARTICIPANT_ROLE_"), orDash(i.GetResponseStatus()), orDash(i.GetAttendance()), s.time(i.GetJoinedAt()), s.time(i.GetLeftAt()), orDash(i.GetSource()),
		})
	}
	if len(a.GetConferences()) > 0 {
		rows = append(rows, nil, []string{"CONFERENCE", "START", "END", "PEOPLE", "RECORDINGS", "KNOWN FROM"})
		for _, c := range a.GetConferences() {
			rows = append(rows, []string{number(c.GetId()), s.time(c.GetStartedAt()), s.time(c.GetEndedAt()), fmt.Sprint(c.GetAttendeesCount()), fmt.Sprint(c.GetRecordingsCount()), orDash(c.GetSource())})
		}
	}
	if len(a.GetAttendees()) > 0 {
		rows = append(rows, nil, []string{"SEEN", "AS", "CONFERENCE", "JOINED", "LEFT", "LENGTH", "IS", "HOW SURE"})
		for _, p := range a.GetAttendees() {
			sure := orDash(p.GetMatch())
			if p.GetMatchReason() != "" {
				sure += " (" + p.GetMatchReason() + ")"
			}
			rows = append(rows, []string{
				orDash(p.GetDisplayName()), orDash(p.GetKind()), number(p.GetConferenceId()), s.time(p.GetFirstJoinedAt()), s.time(p.GetLastLeftAt()),
				(time.Duration(p.GetDurationSeconds()) * time.Second).String(), orDash(p.GetParticipantEmail()), sure,
			})
		}
	}
	return rows
}

func newTranscript(s *session) *cobra.Command {
	var pages paging
	cmd := &cobra.Command{
		Use: "transcript ID", Short: "Show what was said", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			whole := &meetv1.Transcript{}
			next, err := pages.collect(func(size int32, token string) (string, error) {
				page, err := ask(cmd.Context(), s, &meetv1.GetTranscriptRequest{MeetingId: args[0], PageSize: size, PageToken: token}, s.recordings().GetTranscript)
				whole.MeetingId, whole.Documents = page.GetMeetingId(), page.GetDocuments()
				whole.Entries = append(whole.Entries, page.GetEntries()...)
				return page.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			whole.NextPageToken = next
			rows := table{{"TIME", "WHO", "WHAT"}}
			for _, e := range whole.GetEntries() {
				rows = append(rows, []string{s.clock(e.GetStartedAt()), orDash(e.GetDisplayName()), e.GetText()})
			}
			return s.showPage(whole, rows, next)
		},
	}
	pages.flags(cmd)
	return cmd
}

// clock is a time to the second, as what is said needs.
func (s *session) clock(t *timestamppb.Timestamp) string {
	if t == nil {
		return "-"
	}
	return t.AsTime().In(s.location()).Format("2006-01-02 15:04:05")
}

func newHold(s *session) *cobra.Command {
	var c change
	var reason string
	cmd := &cobra.Command{
		Use: "hold ID", Short: "Keep what belongs to a meeting beyond any retention", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.hold(cmd, c, &meetv1.SetLegalHoldRequest{MeetingId: args[0], Hold: true, Reason: reason})
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why, for whoever asks later (required)")
	require(cmd, "reason")
	c.keyFlag(cmd)
	return cmd
}

func newRelease(s *session) *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use: "release ID", Short: "End a legal hold: retention counts again", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return s.hold(cmd, c, &meetv1.SetLegalHoldRequest{MeetingId: args[0]})
		},
	}
	c.keyFlag(cmd)
	return cmd
}

func (s *session) hold(cmd *cobra.Command, c change, req *meetv1.SetLegalHoldRequest) error {
	resp, err := send(cmd.Context(), s, c, req, s.recordings().SetLegalHold)
	if err != nil {
		return err
	}
	return s.show(resp.GetMeeting(), s.meeting(resp.GetMeeting()))
}
