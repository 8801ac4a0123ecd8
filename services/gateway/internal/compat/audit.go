package compat

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// AuditEntry is one attempt to change something, or one request that was turned away.
type AuditEntry struct {
	Sequence     int64       `json:"sequence" doc:"Gapless, from 1."`
	At           string      `json:"at" format:"date-time"`
	Principal    string      `json:"principal" doc:"Empty where nobody known called."`
	Role         string      `json:"role"`
	Credential   string      `json:"credential" doc:"key, session, oidc, open, internal or empty."`
	Action       string      `json:"action"`
	SubjectKind  string      `json:"subject_kind"`
	SubjectID    string      `json:"subject_id"`
	RequestID    string      `json:"request_id"`
	RemoteAddr   string      `json:"remote_addr"`
	Outcome      string      `json:"outcome" doc:"ok, refused (a rule forbade it) or denied (the caller may not)."`
	Reason       string      `json:"reason"`
	Before       rawDocument `json:"before" doc:"What differs, as it was; people are pseudonyms, texts digests."`
	After        rawDocument `json:"after"`
	Count        int64       `json:"count" doc:"More than 1: that many alike within a second."`
	PreviousHash string      `json:"previous_hash"`
	Hash         string      `json:"hash" doc:"SHA-256 over previous_hash, sequence and line."`
	Line         string      `json:"line" doc:"What is hashed."`
}

// AuditReport is what a check of the chain came to.
type AuditReport struct {
	Checked      int64   `json:"checked" doc:"How many are good."`
	LastSequence int64   `json:"last_sequence"`
	LastHash     string  `json:"last_hash" doc:"Kept elsewhere, it shows later that nothing up to here was changed or cut off."`
	Done         bool    `json:"done" doc:"The end was reached, or a bad entry."`
	BadSequence  *int64  `json:"bad_sequence" doc:"The first entry that is not as it was written."`
	BadReason    *string `json:"bad_reason" enum:"hash,chain,columns,gap,head,anchor"`
	BadText      *string `json:"bad_text"`
}

const (
	// exportBatch is how many entries an export asks for at a time.
	exportBatch = 1000
	// exportWait bounds how long a client may take to read one batch: the whole answer has no other end.
	exportWait = 30 * time.Second
	jsonLines  = "application/jsonl"
)

func (a *API) auditRoutes() {
	filter := func(name, doc string) *huma.Param { return queryParam(name, doc, stringSchema("")) }
	a.add(route{
		id: "listAudit", method: http.MethodGet, path: base + "audit/", tag: tagAudit, summary: "Read the audit log, newest first",
		description: "Every change and every refused attempt. With format=jsonl all that the filters leave, oldest first, one JSON object a line.",
		params: append([]*huma.Param{
			queryParam("from", "At or after.", stringSchema("date-time")), queryParam("to", "Before.", stringSchema("date-time")),
			filter("principal", "Exactly this one."), filter("action", "Such as meeting.cancel."), filter("subject_kind", "meeting, user, key, session, recording, person, database or request."),
			filter("subject_id", ""), queryParam("outcome", "", namesSchema(auditOutcomes)), queryParam("email", "Entries that name this person.", stringSchema("email")), filter("request_id", ""),
			queryParam("order", "", namesSchema(auditOrders)), queryParam("format", "", namesSchema(auditFormats)),
		}, pageParams(meetingsPage)...),
		answers: []answer{{status: http.StatusOK, doc: "A page, or with format=jsonl all of it.", schema: listOf[AuditEntry](a), headers: []string{"Link"}}},
		serve:   a.listAudit,
	})
	zero := 0.0
	a.add(route{
		id: "verifyAudit", method: http.MethodGet, path: base + "audit/verify/", tag: tagAudit, summary: "Check one stretch of the audit log",
		description: "Ask again with what it answered until done is true.",
		params: []*huma.Param{
			queryParam("after_sequence", "Check what follows it; absent: from the beginning.", &huma.Schema{Type: huma.TypeInteger, Format: "int64", Minimum: &zero}),
			filter("after_hash", "The hash of that entry, kept elsewhere."),
		},
		answers: []answer{{status: http.StatusOK, doc: "What was found.", schema: schemaOf[AuditReport](a)}}, serve: a.verifyAudit,
	})
}

var (
	auditOutcomes = setOf("ok", "refused", "denied")
	auditOrders   = map[string]bool{"oldest": true, "newest": false}
	auditFormats  = map[string]bool{"jsonl": true, "json": false}
)

func auditOfProto(e *meetv1.AuditEntry) AuditEntry {
	return AuditEntry{
		Sequence: e.GetSequence(), At: timeText(e.GetAt()), Principal: e.GetPrincipal(), Role: e.GetRole(), Credential: e.GetCredential(), Action: e.GetAction(),
		SubjectKind: e.GetSubjectKind(), SubjectID: e.GetSubjectId(), RequestID: e.GetRequestId(), RemoteAddr: e.GetRemoteAddr(), Outcome: e.GetOutcome(),
		Reason: e.GetReason(), Before: rawDocument(e.GetBeforeJson()), After: rawDocument(e.GetAfterJson()), Count: e.GetCount(),
		PreviousHash: e.GetPreviousHash(), Hash: e.GetHash(), Line: e.GetLine(),
	}
}

// The longest texts of filters.
const (
	maxAuditText = 255
	maxAuditWord = 32
	maxAuditID   = 64
)

func (a *API) listAudit(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.ListAuditRequest{
		From: f.when("from"), To: f.when("to"), Principal: f.text("principal", maxAuditText), Action: f.text("action", maxAuditText),
		SubjectKind: f.text("subject_kind", maxAuditWord), SubjectId: f.text("subject_id", maxAuditID), Outcome: oneOf(f, "outcome", auditOutcomes),
		Email: f.text("email", maxAddress), RequestId: f.text("request_id", maxAuditText), Ascending: oneOf(f, "order", auditOrders),
		PageSize: f.page(meetingsPage), PageToken: f.token(),
	}
	export := oneOf(f, "format", auditFormats)
	if err := f.err(); err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	if export {
		req.Ascending, req.PageSize, req.PageToken = true, exportBatch, ""
		return lines(x, func() ([]*meetv1.AuditEntry, bool, error) {
			resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListAudit, req)
			req.PageToken = resp.GetNextPageToken()
			return resp.GetEntries(), req.GetPageToken() != "", err
		}, auditOfProto)
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListAudit, req)
	if err != nil {
		return err
	}
	x.next(resp.GetNextPageToken())
	x.write(http.StatusOK, each(resp.GetEntries(), auditOfProto))
	return nil
}

// lines streams page after page as one JSON object a line. What goes wrong after the first page cuts the answer off: a client must not
// take a part for the whole.
func lines[In, Out any](x *exchange, page func() ([]In, bool, error), encode func(In) Out) error {
	rows, more, err := page()
	if err != nil {
		return err
	}
	header := x.w.Header()
	header.Set("Content-Type", jsonLines)
	x.w.WriteHeader(http.StatusOK)
	if x.r.Method == http.MethodHead {
		return nil
	}
	connection := http.NewResponseController(x.w)
	enc := json.NewEncoder(x.w)
	enc.SetEscapeHTML(false)
	for {
		// It is no error where the connection has no deadline to move.
		_ = connection.SetWriteDeadline(time.Now().Add(exportWait))
		_ = connection.SetReadDeadline(time.Now().Add(exportWait)) // at which net/http would end the request
		for _, row := range rows {
			if err := enc.Encode(encode(row)); err != nil {
				panic(http.ErrAbortHandler) // the client has gone
			}
		}
		_ = connection.Flush() // the next write tells
		if !more {
			return nil
		}
		if rows, more, err = page(); err != nil {
			x.api.log.WarnContext(x.r.Context(), "export cut off", "path", x.r.URL.Path, "error", err)
			panic(http.ErrAbortHandler)
		}
	}
}

func (a *API) verifyAudit(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.VerifyAuditRequest{AfterHash: f.text("after_hash", maxAuditID)}
	if f.text("after_sequence", maxFilter) != "0" {
		req.AfterSequence = f.number("after_sequence", maxID)
	}
	if err := f.err(); err != nil {
		return err
	}
	r, err := backend.Ask(x.r.Context(), a.backend, subject.VerifyAudit, req)
	if err != nil {
		return err
	}
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusOK, AuditReport{
		Checked: r.GetChecked(), LastSequence: r.GetLastSequence(), LastHash: r.GetLastHash(), Done: r.GetDone(), BadSequence: optionalID(r.GetBadSequence()),
		BadReason: optional(r.GetBadReason()), BadText: optional(r.GetBadText()),
	})
	return nil
}
