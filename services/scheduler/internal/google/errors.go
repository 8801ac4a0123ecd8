package google

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/quota"
)

// The codes of failures, as operations, events and the REST error body show them. A code keeps its meaning for ever. Those that
// pass are tried again by themselves; the others wait for a person.
//
//	code                         passes  what to do
//	GOOGLE_INVALID_REQUEST       no      read Google's message: a time, an address or a title is not acceptable
//	GOOGLE_PERMISSION_DENIED     no      the account may not write this calendar or change this space
//	GOOGLE_CALENDAR_NOT_FOUND    no      set GOOGLE_CALENDAR_ID to a calendar that the account can see
//	GOOGLE_API_DISABLED          no      enable the API in the Google Cloud console
//	GOOGLE_SCOPE_MISSING         no      add the scope to the delegation in the admin console
//	GOOGLE_DELEGATION_MISSING    no      enter the service account's client id with all scopes in the admin console
//	GOOGLE_ACCOUNT_UNKNOWN       no      the impersonated account does not exist, is suspended or is of another domain
//	GOOGLE_KEY_REFUSED           no      the service account's key was deleted, or is of another account
//	GOOGLE_CLOCK_WRONG           no      set this machine's clock
//	GOOGLE_ACCESS_BLOCKED        no      the administrator blocks the app or the service for the account
//	GOOGLE_UNAUTHENTICATED       no      Google takes no token of the service account
//	GOOGLE_IMPERSONATION_MISSING no      impersonate an account that may use Meet
//	GOOGLE_ORGANIZER_OUTSIDE     no      add the organizer's domain, or set GOOGLE_WORKSPACE_ADMIN_EMAIL
//	GOOGLE_EVENT_GONE            no      the event was deleted in Google Calendar: cancel, and create a new meeting
//	GOOGLE_EVENT_ID_TAKEN        no      another event in the calendar has the id
//	GOOGLE_CONFERENCE_FAILED     no      Google made no Meet for the event
//	GOOGLE_RECORDING_NOT_SET     no      check the edition and the recording switch
//	GOOGLE_SETTINGS_REFUSED      no      check the Meet settings of the organizer's unit
//	GOOGLE_CONFERENCE_GONE       no      Google shows the account no such conference: it forgets each 30 days after its end
//	GOOGLE_OWNER_UNKNOWN         no      it is not known in whose name the space is to be read: a fault of ours
//	GOOGLE_FILE_GONE             no      the file was deleted in Drive, or the account may not see it
//	GOOGLE_SUBSCRIPTION_GONE     yes     nothing: another subscription to notices is made
//	GOOGLE_SUBSCRIPTION_TAKEN    yes     nothing: the subscription that is there is used
//	GOOGLE_PERSON_UNKNOWN        no      the directory knows no such person
//	GOOGLE_QUEUE_NOT_FOUND       no      set GOOGLE_PUBSUB_SUBSCRIPTION to a subscription that is there
//	GOOGLE_SPACE_DENIED          yes     the space is not visible yet; after some tries it is taken for missing rights
//	GOOGLE_TURN                  yes     nothing: other calls come first, so that Google's quota is kept; or raise the quota
//	GOOGLE_DOWN                  yes     nothing: Google has failed several times in a row and is asked again when it is back
//	GOOGLE_QUOTA                 yes     wait, or raise the quota in the Google Cloud console
//	GOOGLE_CALENDAR_LIMITS       yes     Calendar's limits against abuse were reached; they last hours
//	GOOGLE_UNAVAILABLE           yes     Google fails or can't be reached
//	GOOGLE_TIMEOUT               yes     Google did not answer in time
//	GOOGLE_CONFERENCE_PENDING    yes     Google has not finished the Meet yet
//	GOOGLE_EVENT_BUSY            yes     somebody else changes the event at the same time
//	INTERNAL                     yes     an error of the scheduler itself: its log and MEET_DEAD say more
const (
	CodeInvalidRequest       = "GOOGLE_INVALID_REQUEST"
	CodePermissionDenied     = "GOOGLE_PERMISSION_DENIED"
	CodeCalendarNotFound     = "GOOGLE_CALENDAR_NOT_FOUND"
	CodeAPIDisabled          = "GOOGLE_API_DISABLED"
	CodeScopeMissing         = "GOOGLE_SCOPE_MISSING"
	CodeDelegationMissing    = "GOOGLE_DELEGATION_MISSING"
	CodeAccountUnknown       = "GOOGLE_ACCOUNT_UNKNOWN"
	CodeKeyRefused           = "GOOGLE_KEY_REFUSED"
	CodeClockWrong           = "GOOGLE_CLOCK_WRONG"
	CodeAccessBlocked        = "GOOGLE_ACCESS_BLOCKED"
	CodeUnauthenticated      = "GOOGLE_UNAUTHENTICATED"
	CodeImpersonationMissing = "GOOGLE_IMPERSONATION_MISSING"
	CodeOrganizerOutside     = "GOOGLE_ORGANIZER_OUTSIDE"
	CodeConferenceGone       = "GOOGLE_CONFERENCE_GONE"
	CodeFileNotFound         = "GOOGLE_FILE_GONE"
	CodeSubscriptionGone     = "GOOGLE_SUBSCRIPTION_GONE"
	CodeSubscriptionTaken    = "GOOGLE_SUBSCRIPTION_TAKEN"
	CodePersonUnknown        = "GOOGLE_PERSON_UNKNOWN"
	CodeQueueNotFound        = "GOOGLE_QUEUE_NOT_FOUND"
	CodeSpaceDenied          = "GOOGLE_SPACE_DENIED"
	CodeQuota                = "GOOGLE_QUOTA"
	CodeCalendarLimits       = "GOOGLE_CALENDAR_LIMITS"
	CodeUnavailable          = "GOOGLE_UNAVAILABLE"
	CodeTimeout              = "GOOGLE_TIMEOUT"
)

// limitsPause is how long an organizer rests whose calendar has reached its limits against abuse: they last hours.
const limitsPause = time.Hour

// maxQuote bounds what is quoted of an answer.
const maxQuote = 300

func isUnauthorized(err error) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && e.Code == http.StatusUnauthorized
}

// callFailure turns the error of an API call into what the job knows. ctx is the call's, which tells our time-out from the
// caller's end.
func callFailure(ctx context.Context, err error) *job.Failure {
	var e *googleapi.Error
	if !errors.As(err, &e) {
		return transportFailure(ctx, err)
	}
	reason := reasonOf(e)
	text := e.Message
	if text == "" { // a body that is no JSON: of a proxy, or of Google's front end
		text = http.StatusText(e.Code)
	}
	text = quote(text)
	fail := func(kind job.Kind, code, format string, args ...any) *job.Failure {
		return &job.Failure{Kind: kind, Code: code, Message: fmt.Sprintf(format, args...), After: retryAfter(e.Header), Err: fmt.Errorf("status %d, reason %q: %s", e.Code, reason, text)}
	}
	if e.Code >= http.StatusInternalServerError || e.Code == http.StatusRequestTimeout {
		return fail(job.Transient, CodeUnavailable, "Google failed (%d); it is tried again by itself", e.Code)
	}
	if e.Message == "" {
		// A proxy's page proves nothing about an event, least of all that it is gone.
		return fail(job.Transient, CodeUnavailable, "something between here and Google answered in its place (%d); it is tried again by itself", e.Code)
	}
	switch reason { // the same ones come with several statuses
	case "rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED", "RESOURCE_EXHAUSTED":
		return fail(job.Transient, CodeQuota, "a quota of the Google API is used up; it is tried again by itself")
	case "quotaExceeded", "dailyLimitExceeded":
		f := fail(job.Transient, CodeCalendarLimits, "the calendar has reached Google's usage limits, which last hours; it is tried again by itself")
		f.After = max(f.After, limitsPause)
		return f
	case "SERVICE_DISABLED", "accessNotConfigured":
		return fail(job.Refused, CodeAPIDisabled, "the API %s is not enabled in the service account's Google Cloud project; enable it%s", metadata(e, "service"), activation(e))
	case "ACCESS_TOKEN_SCOPE_INSUFFICIENT", "insufficientPermissions":
		return fail(job.Refused, CodeScopeMissing, "the token lacks a scope; add all scopes of the documentation to the service account's client id in the admin console (Security, API controls, Domain-wide delegation)")
	case "forbiddenForServiceAccounts":
		return fail(job.Refused, CodeImpersonationMissing, "a service account can't invite guests in its own name; set GOOGLE_WORKSPACE_ADMIN_EMAIL or GOOGLE_WORKSPACE_DOMAINS and grant domain-wide delegation")
	case "duplicate":
		return fail(job.Taken, job.CodeEventIDTaken, "the event's id is used already")
	case "ALREADY_EXISTS", "SUBSCRIPTION_ALREADY_EXISTS":
		return fail(job.Taken, CodeSubscriptionTaken, "there is one already")
	case "deleted":
		return fail(job.Gone, job.CodeEventGone, "the event was deleted")
	}
	switch {
	case e.Code == http.StatusBadRequest && strings.Contains(text, "Invalid conference type value"):
		return fail(job.Refused, CodeImpersonationMissing, "the account can't make Meet conferences; impersonate one with a Meet licence (GOOGLE_WORKSPACE_ADMIN_EMAIL, GOOGLE_WORKSPACE_DOMAINS)")
	case e.Code == http.StatusUnauthorized:
		return fail(job.Refused, CodeUnauthenticated, "Google takes no token of the service account; check that its key and its project are still there")
	case e.Code == http.StatusForbidden && isMasked(e):
		return fail(job.Hidden, CodeSpaceDenied, "Google does not let the account see or change the Meet space; it must be the space's owner")
	case e.Code == http.StatusForbidden:
		return fail(job.Refused, CodePermissionDenied, "Google does not let the account do this (%s); share the calendar with it with the right to make changes, or name another in GOOGLE_CALENDAR_ID", text)
	case e.Code == http.StatusNotFound && reason == "NOT_FOUND":
		return fail(job.Hidden, CodeSpaceDenied, "Google does not show the Meet space")
	case e.Code == http.StatusNotFound:
		return fail(job.NotFound, CodeCalendarNotFound, "the account sees no such calendar or event; check GOOGLE_CALENDAR_ID and that the calendar is shared with the account")
	case e.Code == http.StatusGone:
		return fail(job.Gone, job.CodeEventGone, "the event was deleted")
	case e.Code == http.StatusPreconditionFailed:
		return fail(job.Stale, job.CodeEventBusy, "the event was changed by somebody else; trying again")
	case e.Code == http.StatusConflict:
		return fail(job.Transient, job.CodeEventBusy, "somebody else changes the same thing; trying again")
	case e.Code == http.StatusTooManyRequests:
		return fail(job.Transient, CodeQuota, "a quota of the Google API is used up; it is tried again by itself")
	}
	return fail(job.Refused, CodeInvalidRequest, "Google does not accept the request: %s", text)
}

// answered tells that the API works, whatever it says. A proxy's page is no answer of Google's, nor is a token that can't be had.
func answered(err error) bool {
	var e *googleapi.Error
	return errors.As(err, &e) && e.Code < http.StatusInternalServerError && e.Code != http.StatusRequestTimeout && e.Message != ""
}

// refusal is what an answer says of quotas; nil: nothing.
func refusal(err error, f *job.Failure) *quota.Refusal {
	var e *googleapi.Error
	if !errors.As(err, &e) {
		return nil
	}
	switch f.Code {
	case CodeQuota:
		return &quota.Refusal{Own: reasonOf(e) == "userRateLimitExceeded" || strings.HasSuffix(metadata(e, "quota_unit"), "/user"), After: f.After}
	case CodeCalendarLimits:
		return &quota.Refusal{Abuse: true, After: f.After}
	}
	return nil
}

// refusedNotHidden is for calls that name no space: what they deny will not become visible.
func refusedNotHidden(err error) error {
	var f *job.Failure
	if errors.As(err, &f) && f.Kind == job.Hidden {
		return &job.Failure{
			Kind: job.Refused, Code: CodePermissionDenied, Err: err,
			Message: "Google does not let the account create a Meet space; impersonate one with a Meet licence (GOOGLE_WORKSPACE_ADMIN_EMAIL, GOOGLE_WORKSPACE_DOMAINS)",
		}
	}
	return err
}

// transportFailure is no answer at all: what was asked may have been done.
func transportFailure(ctx context.Context, err error) *job.Failure {
	if errors.Is(context.Cause(ctx), errTimeout) {
		return &job.Failure{Kind: job.Transient, Code: CodeTimeout, Message: "Google did not answer in time; it is tried again by itself", Err: errors.Join(errTimeout, err)}
	}
	return &job.Failure{Kind: job.Transient, Code: CodeUnavailable, Message: "Google could not be reached, or its answer was cut off; it is tried again by itself", Err: err}
}

// tokenFailure turns the error of a token request into what the job knows. The client library leaves the reason in the body.
func tokenFailure(ctx context.Context, err error) *job.Failure {
	var e *oauth2.RetrieveError
	switch {
	case errors.Is(err, errNoToken):
		return &job.Failure{
			Kind: job.Refused, Code: CodeScopeMissing, Err: err,
			Message: "Google gave no access token for the scopes that were asked for; add them to the service account's client id in the admin console (Security, API controls, Domain-wide delegation)",
		}
	case !errors.As(err, &e):
		return transportFailure(ctx, err)
	}
	var body struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	notGoogle := json.Unmarshal(e.Body, &body) != nil || body.Error == ""
	status := e.Response.StatusCode
	fail := func(kind job.Kind, code, message string) *job.Failure {
		return &job.Failure{
			Kind: kind, Code: code, Message: message, After: retryAfter(e.Response.Header),
			Err: fmt.Errorf("token endpoint: status %d, error %q: %s", status, quote(body.Error), quote(body.Description)),
		}
	}
	switch {
	case status >= http.StatusInternalServerError, status == http.StatusRequestTimeout, notGoogle:
		return fail(job.Transient, CodeUnavailable, "Google's token service failed; it is tried again by itself")
	case status == http.StatusTooManyRequests, body.Error == "rate_limit_exceeded":
		return fail(job.Transient, CodeQuota, "Google's token service asks to slow down; it is tried again by itself")
	case body.Error == "unauthorized_client":
		return fail(job.Refused, CodeDelegationMissing, "the service account may not act for the domain's accounts with these scopes; in the admin console (Security, API controls, Domain-wide delegation) enter its numeric client id with all scopes of the documentation; it takes effect within minutes, at most a day")
	case body.Error == "access_denied":
		return fail(job.Refused, CodeAccessBlocked, "the administrator blocks the app or the service for this account; allow it in the admin console (Security, API controls)")
	case body.Error == "invalid_scope":
		return fail(job.Refused, CodeScopeMissing, "Google does not know a scope that was asked for")
	case body.Error == "invalid_client", body.Error == "disabled_client":
		return fail(job.Refused, CodeKeyRefused, "the service account or its project is disabled or gone; enable it, or set GOOGLE_SERVICE_ACCOUNT_FILE to another's key")
	case body.Error == "invalid_grant" && strings.Contains(body.Description, "short-lived token"):
		return fail(job.Refused, CodeClockWrong, "this machine's clock is wrong by more than minutes; set it by NTP")
	case body.Error == "invalid_grant" && (strings.Contains(body.Description, "Signature") || strings.Contains(body.Description, "account not found") || strings.Contains(body.Description, "audience")):
		return fail(job.Refused, CodeKeyRefused, "the service account's key was deleted or is of another account; make a new one and set GOOGLE_SERVICE_ACCOUNT_FILE")
	case body.Error == "invalid_grant", body.Error == "invalid_request":
		return fail(job.Refused, CodeAccountUnknown, "the account to act for does not exist, is suspended, is an alias or is of another domain; check the organizer's address, GOOGLE_WORKSPACE_DOMAINS and GOOGLE_WORKSPACE_ADMIN_EMAIL")
	}
	return fail(job.Refused, CodeUnauthenticated, "Google gives the service account no token")
}

// reasonOf is Google's own word for it: of an ErrorInfo, else of the first classic error, else the status's name.
func reasonOf(e *googleapi.Error) string {
	if info := errorInfo(e); info != nil {
		if reason, ok := info["reason"].(string); ok && reason != "" {
			return reason
		}
	}
	if len(e.Errors) > 0 && e.Errors[0].Reason != "" {
		return e.Errors[0].Reason
	}
	var body struct {
		Error struct {
			Status string `json:"status"`
		} `json:"error"`
	}
	_ = json.Unmarshal([]byte(e.Body), &body) // not every body is JSON
	return body.Error.Status
}

func errorInfo(e *googleapi.Error) map[string]any {
	for _, detail := range e.Details {
		if info, ok := detail.(map[string]any); ok && info["@type"] == "type.googleapis.com/google.rpc.ErrorInfo" {
			return info
		}
	}
	return nil
}

func metadata(e *googleapi.Error, key string) string {
	if all, ok := errorInfo(e)["metadata"].(map[string]any); ok {
		if text, ok := all[key].(string); ok {
			return quote(text)
		}
	}
	return "used here"
}

// activation is where the API is enabled, when Google says so.
func activation(e *googleapi.Error) string {
	if url := metadata(e, "activationUrl"); strings.HasPrefix(url, "https://") {
		return " at " + url
	}
	return " (APIs & Services, Library)"
}

// isMasked: Meet denies what is not there in the same words as what is somebody else's.
func isMasked(e *googleapi.Error) bool {
	return errorInfo(e) == nil && len(e.Errors) == 0 && strings.Contains(e.Message, "Permission denied on resource ")
}

// said puts a failure of a method into words that are about what it asks for: the same status means another thing in each API.
func said(method string, f *job.Failure) *job.Failure {
	be := func(kind job.Kind, code, message string) *job.Failure {
		return &job.Failure{Kind: kind, Code: code, Message: message, After: f.After, Err: f.Err}
	}
	missing := f.Code == CodeSpaceDenied && f.Kind == job.Hidden || f.Code == CodeCalendarNotFound
	denied := f.Code == CodePermissionDenied
	switch api, rest, _ := strings.Cut(method, "."); {
	case rest == "conferenceRecords.list" && missing: // a list is never gone: the account is shown none
		return be(job.Refused, CodePermissionDenied, "Google does not show the account what was held; it needs a licence with Meet, and must own the space")
	case strings.HasPrefix(rest, "conferenceRecords") && missing:
		return be(job.Gone, CodeConferenceGone, "Google shows the account no such conference; it forgets each 30 days after its end, and shows it to the space's owner and to who was there")
	case api == "meet" && denied:
		return be(job.Refused, CodePermissionDenied, "Google does not let the account use Meet so; it needs a licence with Meet, and must own the space")
	case api == "drive" && missing:
		return be(job.NotFound, CodeFileNotFound, "Drive shows the account no such file: it was deleted, or is somebody else's")
	case api == "drive" && denied:
		return be(job.Refused, CodePermissionDenied, "Drive does not let the account read the file; check Apps, Google Workspace, Drive and Docs in the admin console, and who the file is shared with")
	case api == "workspaceevents" && missing:
		return be(job.NotFound, CodeSubscriptionGone, "there is no such subscription any more")
	case api == "workspaceevents" && denied:
		return be(job.Refused, CodePermissionDenied, "Google does not make the subscription to notices; let meet-api-event-push@system.gserviceaccount.com publish to the topic GOOGLE_PUBSUB_TOPIC (role Pub/Sub Publisher)")
	case (api == "directory" || api == "oauth2") && missing:
		return be(job.NotFound, CodePersonUnknown, "the directory knows no such person")
	case (api == "directory" || api == "oauth2") && denied:
		return be(job.Refused, CodePermissionDenied, "the directory does not let the account look people up; allow contact sharing in the admin console (Directory, Directory settings), or set GOOGLE_DIRECTORY=off")
	case api == "pubsub" && missing:
		return be(job.NotFound, CodeQueueNotFound, "there is no such Pub/Sub subscription; make it, or correct GOOGLE_PUBSUB_SUBSCRIPTION")
	case api == "pubsub" && denied:
		return be(job.Refused, CodePermissionDenied, "the service account may not pull from GOOGLE_PUBSUB_SUBSCRIPTION; give it the role Pub/Sub Subscriber there")
	}
	return f
}

// retryAfter reads the header (RFC 9110 §10.2.3), 0 when there is none.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0) // a header of the wire: real time
	}
	return 0
}

// quote makes a text of Google's fit to be shown.
func quote(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > maxQuote {
		text = strings.ToValidUTF8(text[:maxQuote], "") + "…"
	}
	return text
}
