package command

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

// Where a recording file and its copy can be.
var (
	fileStates   = []string{"started", "ended", "file_generated"}
	exportStates = []string{"none", "pending", "exported", "verified", "mismatch", "gone", "deleted", "failed"}
)

func newRecordings(s *session) *cobra.Command {
	return group("recordings", "List, sync, check and share recordings",
		newRecordingList(s), newRecordingGet(s), newSync(s), newSyncAll(s), newVerify(s), newShare(s), newCoverage(s))
}

func newRecordingList(s *session) *cobra.Command {
	var (
		req     meetv1.ListRecordingsRequest
		state   string
		between bounds
		pages   paging
	)
	cmd := &cobra.Command{
		Use: "list", Short: "List recordings, newest first", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--export-state", req.GetExportState(), exportStates); err != nil {
				return err
			}
			if err := oneOf("--state", state, fileStates); err != nil {
				return err
			}
			of, err := choice("--state", state, meetv1.RecordingState_value, recordingPrefix, fileStates)
			if err != nil {
				return err
			}
			req.State = meetv1.RecordingState(of)
			if req.From, req.To, err = between.read(cmd, s.location()); err != nil {
				return err
			}
			list := &meetv1.ListRecordingsResponse{}
			list.NextPageToken, err = pages.collect(func(size int32, token string) (string, error) {
				req.PageSize, req.PageToken = size, token
				page, err := ask(cmd.Context(), s, &req, s.recordings().ListRecordings)
				list.Recordings = append(list.Recordings, page.GetRecordings()...)
				return page.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			rows := table{{"ID", "MEETING", "STATE", "START", "DURATION", "EXPORT", "FILE"}}
			for _, r := range list.GetRecordings() {
				rows = append(rows, []string{
					number(r.GetId()), number(r.GetMeetingId()), word(r.GetState(), recordingPrefix), s.time(r.GetStartedAt()), duration(r), orDash(r.GetExportState()), orDash(r.GetDriveFileUrl()),
				})
			}
			return s.showPage(list, rows, list.GetNextPageToken())
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&req.MeetingId, "meeting", 0, "only of this meeting")
	flags.Int64Var(&req.OrganizerId, "organizer-id", 0, "only of this user's meetings")
	flags.StringVar(&state, "state", "", "only where the recording has come this far: "+strings.Join(fileStates, ", "))
	flags.StringVar(&req.ExportState, "export-state", "", "only where the copy is: "+strings.Join(exportStates, ", "))
	between.flags(cmd, "only those that began then or later", "only those that began then or earlier")
	pages.flags(cmd)
	complete(cmd, "state", fileStates...)
	complete(cmd, "export-state", exportStates...)
	return cmd
}

// recordingPrefix is what the names of a recording's states begin with in the API.
const recordingPrefix = "RECORDING_STATE_"

func duration(r *meetv1.Recording) string {
	if r.DurationSeconds == nil {
		return "-"
	}
	d := r.GetDurationSeconds()
	return fmt.Sprintf("%02d:%02d:%02d", d/3600, d/60%60, d%60)
}

// recordingID reads the argument of a command about one recording.
func recordingID(text string) (int64, error) {
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id <= 0 {
		return 0, usage("%q is no recording's number; `meetctl recordings list` shows them", text)
	}
	return id, nil
}

func newRecordingGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one recording", Args: one("recording"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := recordingID(args[0])
			if err != nil {
				return err
			}
			r, err := ask(cmd.Context(), s, &meetv1.GetRecordingRequest{Id: id}, s.recordings().GetRecording)
			if err != nil {
				return err
			}
			return s.show(r, s.recording(r))
		},
	}
}

func (s *session) recording(r *meetv1.Recording) table {
	size := "-"
	if r.SizeBytes != nil {
		size = strconv.FormatInt(r.GetSizeBytes(), 10) + " bytes"
	}
	rows := table{
		{"id", number(r.GetId())},
		{"meeting", number(r.GetMeetingId())},
		{"state", word(r.GetState(), recordingPrefix)},
		{"start", s.time(r.GetStartedAt())},
		{"end", s.time(r.GetEndedAt())},
		{"duration", duration(r)},
		{"available", s.time(r.GetAvailableAt())},
		{"file", orDash(r.GetDriveFileUrl())},
		{"file in Drive", orDash(r.GetFileState())},
		{"export", orDash(r.GetExportState())},
		{"copy", orDash(r.GetExportUri())},
		{"sha256", orDash(r.GetSha256())},
		{"size", size},
		{"exported", s.time(r.GetExportedAt())},
		{"verified", s.time(r.GetVerifiedAt())},
		{"delete after", s.time(r.GetDeleteAfter())},
		{"shared with", orDash(strings.Join(r.GetSharedWith(), ", "))},
		{"Google's name", orDash(r.GetName())},
	}
	if r.GetExportError() != nil {
		rows = append(rows, []string{"error", problem(r.GetExportError())})
	}
	return rows
}

// task shows a job that was begun.
func (s *session) task(msg proto.Message, job string) func() error {
	return func() error { return s.show(msg, table{{"job", job}}) }
}

func newSync(s *session) *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use: "sync MEETING", Short: "Look at Google now for what a meeting left", Args: one("meeting"),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := send(cmd.Context(), s, c, &meetv1.SyncRecordingRequest{MeetingId: args[0]}, s.recordings().SyncRecording)
			if err != nil {
				return err
			}
			return s.begun(cmd.Context(), c.wait, resp.GetJobId(), s.task(resp, resp.GetJobId()))
		},
	}
	c.flags(cmd, "wait until Google was looked at")
	return cmd
}

func newSyncAll(s *session) *cobra.Command {
	var c change
	var req meetv1.SyncAllRecordingsRequest
	cmd := &cobra.Command{
		Use: "sync-all", Short: "Look at Google for all recordings that are still expected", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := send(cmd.Context(), s, c, &req, s.recordings().SyncAllRecordings)
			if err != nil {
				return err
			}
			return s.begun(cmd.Context(), c.wait, resp.GetJobId(), s.task(resp, resp.GetJobId()))
		},
	}
	cmd.Flags().Int32Var(&req.Limit, "limit", 0, "at most so many meetings, the oldest first; 0: all")
	c.flags(cmd, "wait until the meetings are told to be looked at")
	return cmd
}

func newVerify(s *session) *cobra.Command {
	var c change
	cmd := &cobra.Command{
		Use: "verify ID", Short: "Read the copy of a recording again and compare it", Args: one("recording"),
		Long: "Read the copy of a recording again and compare it with what was exported.\nWith --wait, exit status 1 when it is gone or has other bytes.",
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := recordingID(args[0])
			if err != nil {
				return err
			}
			resp, err := send(cmd.Context(), s, c, &meetv1.VerifyRecordingRequest{Id: id}, s.recordings().VerifyRecording)
			if err != nil {
				return err
			}
			return s.begun(cmd.Context(), c.wait, resp.GetJobId(), s.task(resp, resp.GetJobId()))
		},
	}
	c.flags(cmd, "wait until it was read")
	return cmd
}

func newShare(s *session) *cobra.Command {
	var c change
	var req meetv1.ShareRecordingRequest
	cmd := &cobra.Command{
		Use: "share ID", Short: "Let people read a recording in Drive", Args: one("recording"),
		RunE: func(cmd *cobra.Command, args []string) error {
			id, err := recordingID(args[0])
			if err != nil {
				return err
			}
			req.Id = id
			resp, err := send(cmd.Context(), s, c, &req, s.recordings().ShareRecording)
			if err != nil {
				return err
			}
			return s.begun(cmd.Context(), c.wait, resp.GetJobId(), s.task(resp, resp.GetJobId()))
		},
	}
	cmd.Flags().StringSliceVar(&req.Emails, "email", nil, "address of a reader; repeat it or separate by commas (required)")
	require(cmd, "email")
	c.flags(cmd, "wait until they may read it")
	return cmd
}

func newCoverage(s *session) *cobra.Command {
	var (
		req     meetv1.GetCoverageRequest
		between bounds
		by      string
	)
	cmd := &cobra.Command{
		Use: "coverage", Short: "Count the recordings that were expected, and what became of them", Args: none,
		Long: "Count the meetings that were to be recorded, by the day of their scheduled start or by organizer.\nDays are of --time-zone, or of the server's.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--by", by, []string{"day", "organizer"}); err != nil {
				return err
			}
			var err error
			if req.From, req.To, err = between.read(cmd, s.location()); err != nil {
				return err
			}
			req.TimeZone = s.zone
			c, err := ask(cmd.Context(), s, &req, s.recordings().GetCoverage)
			if err != nil {
				return err
			}
			return s.show(c, coverage(c, by == "organizer"))
		},
	}
	between.flags(cmd, "only meetings that begin then or later; absent: 30 days back", "only meetings that begin before; absent: the end of today")
	cmd.Flags().Int64Var(&req.OrganizerId, "organizer-id", 0, "only of this user's meetings")
	cmd.Flags().StringVar(&by, "by", "day", "a row for each: day or organizer")
	complete(cmd, "by", "day", "organizer")
	return cmd
}

// coverage is a row for each day or organizer, and one of all.
func coverage(c *meetv1.Coverage, organizers bool) table {
	row := func(name string, n *meetv1.CoverageCount) []string {
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(n.GetMissingReasons())) {
			reasons = append(reasons, fmt.Sprintf("%s %d", reason, n.GetMissingReasons()[reason]))
		}
		cells := []string{name}
		for _, count := range []int64{n.GetExpected(), n.GetSecured(), n.GetVerified(), n.GetMissing(), n.GetUnderWay()} {
			cells = append(cells, strconv.FormatInt(count, 10))
		}
		return append(cells, orDash(strings.Join(reasons, ", ")))
	}
	first, rows := "DAY", table{}
	if organizers {
		first = "ORGANIZER"
		for _, o := range c.GetOrganizers() {
			rows = append(rows, row(o.GetOrganizerEmail(), o.GetCount()))
		}
	} else {
		for _, d := range c.GetDays() {
			rows = append(rows, row(d.GetDate(), d.GetCount()))
		}
	}
	head := table{{first, "EXPECTED", "SECURED", "VERIFIED", "MISSING", "UNDER WAY", "WHY MISSING"}}
	return append(append(head, rows...), row("all", c.GetTotal()))
}
