package compat

import (
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// Job is a row of work: a wish that something be true.
type Job struct {
	ID             string      `json:"id" format:"uuid"`
	Class          string      `json:"class" example:"observe"`
	Kind           string      `json:"kind" example:"check_recording"`
	State          string      `json:"state" enum:"due,out,done,failed" doc:"out: sent, and no outcome came yet."`
	MeetingID      *int64      `json:"meeting_id" doc:"Null: of no meeting."`
	DueAt          *string     `json:"due_at" format:"date-time" doc:"When it is to be done next."`
	FailedAttempts int32       `json:"failed_attempts"`
	Attempts       []Attempt   `json:"attempts" nullable:"false" doc:"Those that failed, the newest 20."`
	CreatedAt      string      `json:"created_at" format:"date-time"`
	DispatchedAt   *string     `json:"dispatched_at" format:"date-time"`
	EndedAt        *string     `json:"ended_at" format:"date-time"`
	Result         rawDocument `json:"result" doc:"What came of it; empty while nothing did."`
}

// Attempt is one that failed.
type Attempt struct {
	At      string `json:"at" format:"date-time"`
	Code    string `json:"code"`
	Message string `json:"message"`
}

// jobStates are where a row of work can be.
var jobStates = setOf("due", "out", "done", "failed")

// maxJobWord is the longest name of a class or kind.
const maxJobWord = 64

func (a *API) jobRoutes() {
	a.add(route{
		id: "listJobs", method: http.MethodGet, path: base + "jobs/", tag: tagJobs, summary: "List work: the next due first, then what ended, newest first",
		params: append([]*huma.Param{
			queryParam("meeting", "Of this meeting alone; its number.", idSchema()),
			queryParam("state", "", namesSchema(jobStates)),
			queryParam("class", "google, observe, export or housekeeping.", stringSchema("")),
			queryParam("kind", "Such as check_recording.", stringSchema("")),
		}, pageParams(meetingsPage)...),
		answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[Job](a), headers: []string{"Link"}}},
		serve:   a.listJobs,
	})
	a.add(route{
		id: "getJob", method: http.MethodGet, path: base + "jobs/{id}/", tag: tagJobs, summary: "Follow a job",
		answers: []answer{{status: http.StatusOK, doc: "What it has come to.", schema: schemaOf[Job](a)}},
		serve:   a.getJob,
	})
}

func (a *API) listJobs(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.ListJobsRequest{
		MeetingId: f.number("meeting", maxID), State: oneOf(f, "state", jobStates), Class: f.text("class", maxJobWord), Kind: f.text("kind", maxJobWord),
		PageSize: f.page(meetingsPage), PageToken: f.token(),
	}
	if err := f.err(); err != nil {
		return err
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListJobs, req)
	if err != nil {
		return err
	}
	x.next(resp.GetNextPageToken())
	x.write(http.StatusOK, each(resp.GetJobs(), x.job))
	return nil
}

func (a *API) getJob(x *exchange) error {
	id, ok := canonicalUUID(x.param("id"))
	if !ok {
		return refuse(http.StatusNotFound, notFound)
	}
	j, err := backend.Ask(x.r.Context(), a.backend, subject.GetJob, &meetv1.GetJobRequest{Id: id})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, x.job(j))
	return nil
}

// job is one as the caller reads it.
func (x *exchange) job(j *meetv1.Job) Job {
	return Job{
		ID: j.GetId(), Class: j.GetClass(), Kind: j.GetKind(), State: j.GetState(), MeetingID: optionalID(j.GetMeetingId()), DueAt: optionalTime(j.GetDueAt()),
		FailedAttempts: j.GetFailedAttempts(),
		Attempts: each(j.GetAttempts(), func(t *meetv1.JobAttempt) Attempt {
			return Attempt{At: timeText(t.GetAt()), Code: t.GetCode(), Message: x.refusalText(t.GetCode(), t.GetMessage())}
		}),
		CreatedAt: timeText(j.GetCreatedAt()), DispatchedAt: optionalTime(j.GetDispatchedAt()), EndedAt: optionalTime(j.GetEndedAt()), Result: rawDocument(j.GetResultJson()),
	}
}
