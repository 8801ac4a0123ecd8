package command

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
)

func (s *session) audit() meetv1connect.AuditServiceClient {
	return meetv1connect.NewAuditServiceClient(s.client(), s.server, options...)
}

func newAudit(s *session) *cobra.Command {
	return group("audit", "See who did what, and check that nobody changed it", newAuditList(s), newAuditExport(s), newAuditVerify(s))
}

// auditFilter is the flags of a filter.
type auditFilter struct {
	req    meetv1.ListAuditRequest
	within bounds
}

func (f *auditFilter) flags(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.req.Principal, "principal", "", "only of this one, such as key:mm_live_7Kq2mXa9 or user:12")
	flags.StringVar(&f.req.Action, "action", "", "only this, such as meeting.cancel")
	flags.StringVar(&f.req.SubjectKind, "kind", "", "only of a meeting, user, key, session, recording, person, database or request")
	flags.StringVar(&f.req.SubjectId, "id", "", "only of the one with this id")
	flags.StringVar(&f.req.Outcome, "outcome", "", "ok, refused or denied")
	flags.StringVar(&f.req.Email, "email", "", "only what names this person")
	flags.StringVar(&f.req.RequestId, "request-id", "", "only of this request")
	f.within.flags(cmd, "at or after", "before")
	complete(cmd, "outcome", "ok", "refused", "denied")
}

func (f *auditFilter) read(cmd *cobra.Command, s *session) (err error) {
	if err := oneOf("--outcome", f.req.GetOutcome(), []string{"ok", "refused", "denied"}); err != nil {
		return err
	}
	f.req.From, f.req.To, err = f.within.read(cmd, s.location())
	return err
}

func newAuditList(s *session) *cobra.Command {
	var f auditFilter
	var pages paging
	cmd := &cobra.Command{
		Use: "list", Short: "List entries, newest first", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.read(cmd, s); err != nil {
				return err
			}
			whole := &meetv1.ListAuditResponse{}
			next, err := pages.collect(func(size int32, token string) (string, error) {
				f.req.PageSize, f.req.PageToken = size, token
				page, err := ask(cmd.Context(), s, &f.req, s.audit().ListAudit)
				whole.Entries = append(whole.Entries, page.GetEntries()...)
				return page.GetNextPageToken(), err
			})
			if err != nil {
				return err
			}
			whole.NextPageToken = next
			rows := table{{"NUMBER", "TIME", "WHO", "WHAT", "OF", "OUTCOME", "REASON", "FROM", "TIMES"}}
			for _, e := range whole.GetEntries() {
				rows = append(rows, []string{
					number(e.GetSequence()), s.clock(e.GetAt()), orDash(e.GetPrincipal()), e.GetAction(), strings.TrimSpace(e.GetSubjectKind() + " " + e.GetSubjectId()),
					e.GetOutcome(), orDash(e.GetReason()), orDash(e.GetRemoteAddr()), number(e.GetCount()),
				})
			}
			return s.showPage(whole, rows, next)
		},
	}
	f.flags(cmd)
	pages.flags(cmd)
	return cmd
}

// exportBatch is how many entries an export asks for at a time.
const exportBatch = 1000

func newAuditExport(s *session) *cobra.Command {
	var f auditFilter
	var file string
	cmd := &cobra.Command{
		Use: "export", Short: "Write entries as JSON lines, oldest first", Args: none,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.read(cmd, s); err != nil {
				return err
			}
			f.req.Ascending, f.req.PageSize = true, exportBatch
			return s.lines(file, func() ([]proto.Message, bool, error) {
				page, err := ask(cmd.Context(), s, &f.req, s.audit().ListAudit)
				f.req.PageToken = page.GetNextPageToken()
				return messages(page.GetEntries()), f.req.GetPageToken() != "", err
			})
		},
	}
	f.flags(cmd)
	fileFlag(cmd, &file)
	return cmd
}

func fileFlag(cmd *cobra.Command, file *string) {
	cmd.Flags().StringVar(file, "file", "", "write to this new file, which only you read; absent: to the terminal")
}

func messages[M proto.Message](in []M) []proto.Message {
	out := make([]proto.Message, 0, len(in))
	for _, m := range in {
		out = append(out, m)
	}
	return out
}

// lines writes page after page, one JSON object a line. A file that is not whole does not stay.
func (s *session) lines(file string, page func() ([]proto.Message, bool, error)) (err error) {
	out := s.terminal.Out
	if file != "" {
		f, opened := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if opened != nil {
			return usage("--file: %w", opened)
		}
		out = f
		defer func() {
			if err = errors.Join(err, f.Close()); err != nil {
				err = errors.Join(err, os.Remove(file))
			}
		}()
	}
	w := bufio.NewWriter(out)
	for more := true; more; {
		var rows []proto.Message
		if rows, more, err = page(); err != nil {
			return err
		}
		for _, row := range rows {
			if err := writeLine(w, row); err != nil {
				return err
			}
		}
	}
	return w.Flush()
}

func writeLine(w io.Writer, msg proto.Message) error {
	body, err := protojson.MarshalOptions{EmitDefaultValues: true}.Marshal(msg)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	var same json.RawMessage = body // protojson's own spaces differ from build to build
	return json.NewEncoder(w).Encode(same)
}

func newAuditVerify(s *session) *cobra.Command {
	var after string
	cmd := &cobra.Command{
		Use: "verify", Short: "Check that no entry was changed, removed or put in", Args: none,
		Long: "Check that no entry was changed, removed or put in since it was written: each is chained by its hash to the one before.\n" +
			"Keep the NUMBER:HASH that is shown at the end elsewhere; given with --after later, it shows that nothing before it was rewritten.\nExit status 1 when something was.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			req := &meetv1.VerifyAuditRequest{}
			if after != "" {
				seq, hash, whole := strings.Cut(after, ":")
				n, err := strconv.ParseInt(seq, 10, 64)
				if err != nil || n < 0 || !whole {
					return usage("--after: %q is not NUMBER:HASH, as an earlier check has shown", after)
				}
				req.AfterSequence, req.AfterHash = n, hash
			}
			total := &meetv1.VerifyAuditResponse{}
			for !total.GetDone() {
				r, err := ask(cmd.Context(), s, req, s.audit().VerifyAudit)
				if err != nil {
					return err
				}
				r.Checked += total.GetChecked()
				if !r.GetDone() && r.GetLastSequence() <= req.GetAfterSequence() {
					return errors.New("the check does not go on; repeat it")
				}
				total, req.AfterSequence, req.AfterHash = r, r.GetLastSequence(), r.GetLastHash()
			}
			rows := table{{"checked", number(total.GetChecked())}, {"last", fmt.Sprintf("%d:%s", total.GetLastSequence(), total.GetLastHash())}}
			if bad := total.GetBadSequence(); bad != 0 {
				rows = append(rows, []string{"bad", fmt.Sprintf("%d (%s): %s", bad, total.GetBadReason(), total.GetBadText())})
			}
			if err := s.show(total, rows); err != nil {
				return err
			}
			if total.GetBadSequence() != 0 {
				return ended{"the audit log is not as it was written", exitFailed}
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&after, "after", "", "NUMBER:HASH of an earlier check; absent: from the beginning")
	return cmd
}

func newPrivacy(s *session) *cobra.Command {
	return group("privacy", "Answer a person's requests about what is kept of him", newPrivacyExport(s), newPrivacyErase(s))
}

func (s *session) privacy() meetv1connect.PrivacyServiceClient {
	return meetv1connect.NewPrivacyServiceClient(s.client(), s.server, options...)
}

func newPrivacyExport(s *session) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "export EMAIL", Short: "Write all that is kept of a person as JSON lines", Args: one("address"),
		RunE: func(cmd *cobra.Command, args []string) error {
			req := &meetv1.ExportPersonRequest{Email: args[0]}
			return s.lines(file, func() ([]proto.Message, bool, error) {
				page, err := ask(cmd.Context(), s, req, s.privacy().ExportPerson)
				req.PageToken = page.GetNextPageToken()
				return messages(page.GetRecords()), req.GetPageToken() != "", err
			})
		},
	}
	fileFlag(cmd, &file)
	return cmd
}

func newPrivacyErase(s *session) *cobra.Command {
	var c change
	var yes bool
	req := &meetv1.ErasePersonRequest{}
	cmd := &cobra.Command{
		Use: "erase EMAIL", Short: "Replace a person by a pseudonym, everywhere and for good", Args: one("address"),
		Long: "Replace a person's address and names by a pseudonym, everywhere and for good. Meetings and what was recorded of them stay.\nRefused (exit status 5) while a meeting of his is ahead, under legal hold or under way.",
		RunE: func(cmd *cobra.Command, args []string) error {
			if !yes {
				return usage("this can't be undone; repeat it with --yes")
			}
			req.Email = args[0]
			erased, err := send(cmd.Context(), s, c, req, s.privacy().ErasePerson)
			if err != nil {
				return err
			}
			rows := table{{"pseudonym", erased.GetPseudonym()}}
			for _, kind := range slices.Sorted(maps.Keys(erased.GetRows())) {
				rows = append(rows, []string{kind, number(erased.GetRows()[kind])})
			}
			return s.show(erased, rows)
		},
	}
	cmd.Flags().BoolVar(&yes, "yes", false, "do it")
	cmd.Flags().StringVar(&req.Reason, "reason", "", "why, such as the number of the request; kept as a digest")
	c.keyFlag(cmd)
	return cmd
}
