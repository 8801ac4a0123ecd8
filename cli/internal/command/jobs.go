package command

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
)

// The states of a job; done and failed are those of one that has ended.
const (
	jobDue    = "due"
	jobOut    = "out"
	jobDone   = "done"
	jobFailed = "failed"
)

// kindVerify is the kind of the jobs that read a copy again.
const kindVerify = "verify_export"

var jobStates = []string{jobDue, jobOut, jobDone, jobFailed}

func newJobs(s *session) *cobra.Command {
	return group("jobs", "Follow the work that is due, under way, done or failed", newJobList(s), newJobGet(s), newJobWatch(s))
}

func newJobList(s *session) *cobra.Command {
	var req meetv1.ListJobsRequest
	var pages paging
	cmd := &cobra.Command{
		Use: "list", Short: "List jobs: the next due first, then those that ended, newest first", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("--state", req.GetState(), jobStates); err != nil {
				return err
			}
			list := &meetv1.ListJobsResponse{}
			next, err := pages.collect(func(size int32, token string) (string, error) {
				req.PageSize, req.PageToken = size, token
				page, err := ask(cmd.Context(), s, &req, s.jobs().ListJobs)
				list.Jobs = append(list.Jobs, page.GetJobs()...)
				return page.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			list.NextPageToken = next
			rows := table{{"ID", "KIND", "STATE", "MEETING", "DUE", "FAILED ATTEMPTS", "ENDED"}}
			for _, j := range list.GetJobs() {
				rows = append(rows, []string{
					j.GetId(), j.GetKind(), j.GetState(), number(j.GetMeetingId()), s.time(j.GetDueAt()), strconv.Itoa(int(j.GetFailedAttempts())), s.time(j.GetEndedAt()),
				})
			}
			return s.showPage(list, rows, next)
		},
	}
	flags := cmd.Flags()
	flags.Int64Var(&req.MeetingId, "meeting", 0, "only of this meeting")
	flags.StringVar(&req.State, "state", "", "only in this state: "+strings.Join(jobStates, ", "))
	flags.StringVar(&req.Class, "class", "", "only of this class: google, observe, export, housekeeping")
	flags.StringVar(&req.Kind, "kind", "", "only of this kind, such as check_recording")
	pages.flags(cmd)
	complete(cmd, "state", jobStates...)
	complete(cmd, "class", "google", "observe", "export", "housekeeping")
	return cmd
}

// oneOf is a wrong use where text is none of known; none at all is none wrong.
func oneOf(flag, text string, known []string) error {
	if text == "" || slices.Contains(known, text) {
		return nil
	}
	return usage("%s: %q is not known; use one of: %s", flag, text, strings.Join(known, ", "))
}

// number is an id; a dash for none.
func number(id int64) string {
	if id == 0 {
		return "-"
	}
	return strconv.FormatInt(id, 10)
}

func (s *session) job(ctx context.Context, id string) (*meetv1.Job, error) {
	return ask(ctx, s, &meetv1.GetJobRequest{Id: id}, s.jobs().GetJob)
}

func newJobGet(s *session) *cobra.Command {
	return &cobra.Command{
		Use: "get ID", Short: "Show one job, with the attempts that failed", Args: one("job"),
		RunE: func(cmd *cobra.Command, args []string) error {
			job, err := s.job(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return s.show(job, s.jobRows(job))
		},
	}
}

func (s *session) jobRows(j *meetv1.Job) table {
	rows := table{
		{"job", j.GetId()},
		{"class", j.GetClass()},
		{"kind", j.GetKind()},
		{"state", j.GetState()},
		{"meeting", number(j.GetMeetingId())},
		{"due", s.time(j.GetDueAt())},
		{"created", s.time(j.GetCreatedAt())},
		{"sent", s.time(j.GetDispatchedAt())},
		{"ended", s.time(j.GetEndedAt())},
		{"failed attempts", strconv.Itoa(int(j.GetFailedAttempts()))},
		{"result", orDash(j.GetResultJson())},
	}
	for _, a := range j.GetAttempts() {
		rows = append(rows, []string{"failed " + s.time(a.GetAt()), a.GetCode() + ": " + a.GetMessage()})
	}
	return rows
}

func newJobWatch(s *session) *cobra.Command {
	wait := waiting{on: true}
	cmd := &cobra.Command{
		Use: "watch ID", Short: "Follow a job until it has ended", Args: one("job"),
		Long: "Follow a job until it has ended, with a line for each change; with -o json the job alone, once it has.\nExit status 1 when it failed or found a copy that is not what was exported, 6 when it has not ended in time.",
		RunE: func(cmd *cobra.Command, args []string) error {
			said := ""
			return s.follow(cmd.Context(), wait, args[0], func(j *meetv1.Job) {
				if line := s.jobLine(j); line != said && s.output == "table" {
					fmt.Fprintln(s.terminal.Out, clean(line))
					said = line
				}
			})
		},
	}
	cmd.Flags().DurationVar(&wait.timeout, "wait-timeout", 5*time.Minute, "how long to follow it")
	return cmd
}

// jobLine is where a job is, in one line.
func (s *session) jobLine(j *meetv1.Job) string {
	line := j.GetState()
	switch line {
	case jobDone, jobFailed:
		if j.GetResultJson() != "" {
			line += ": " + j.GetResultJson()
		}
	case jobOut:
		line = "under way"
	default:
		line = "due at " + s.time(j.GetDueAt())
	}
	if len(j.GetAttempts()) > 0 {
		newest := slices.MaxFunc(j.GetAttempts(), func(a, b *meetv1.JobAttempt) int { return a.GetAt().AsTime().Compare(b.GetAt().AsTime()) })
		line += fmt.Sprintf("; failed attempts: %d, the last with %s: %s", j.GetFailedAttempts(), newest.GetCode(), newest.GetMessage())
	}
	return line
}

// follow looks at a job until it has ended, shows each look, and is an error when the job failed.
func (s *session) follow(ctx context.Context, wait waiting, id string, look func(*meetv1.Job)) error {
	var job *meetv1.Job
	err := wait.until(ctx, "job "+clean(id)+" has not ended", func(ctx context.Context) (bool, error) {
		fresh, err := s.job(ctx, id)
		if err != nil {
			return false, err
		}
		job = fresh
		look(job)
		return job.GetState() == jobDone || job.GetState() == jobFailed, nil
	})
	if err != nil {
		return err
	}
	if s.output == "json" {
		if err := s.show(job, nil); err != nil {
			return err
		}
	}
	if job.GetState() == jobFailed || foundWrong(job) {
		return ended{s.jobLine(job), exitFailed}
	}
	return nil
}

// foundWrong tells whether a job has found what should not be: a copy that is gone or has other bytes.
func foundWrong(j *meetv1.Job) bool {
	var came struct {
		Result string `json:"result"`
	}
	// A result that is no such object says nothing about a copy.
	return j.GetKind() == kindVerify && json.Unmarshal([]byte(j.GetResultJson()), &came) == nil && came.Result != "" && came.Result != "ok"
}

// begun shows a job that was begun, or with --wait follows it to its end.
func (s *session) begun(ctx context.Context, wait waiting, job string, show func() error) error {
	if !wait.on {
		return show()
	}
	var last *meetv1.Job
	err := s.follow(ctx, wait, job, func(j *meetv1.Job) { last = j })
	if s.output == "table" && last != nil {
		if shown := s.show(last, s.jobRows(last)); shown != nil {
			return shown
		}
	}
	return err
}
