package command_test

import (
	"bytes"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/meet-middleware/meet-middleware/cli/internal/command"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/api/meet/v1/meetv1connect"
)

const secret = "mm_live_7Kq2mXa9_secret"

// guarded answers about keys, the audit log and persons, and notes what it was shown.
type guarded struct {
	meetv1connect.UnimplementedAccessServiceHandler
	meetv1connect.UnimplementedAuditServiceHandler
	meetv1connect.UnimplementedPrivacyServiceHandler
	shown  []string
	made   *meetv1.CreateKeyRequest
	report []*meetv1.VerifyAuditResponse
	asked  []*meetv1.VerifyAuditRequest
	fails  bool
}

func (g *guarded) CreateKey(_ context.Context, req *connect.Request[meetv1.CreateKeyRequest]) (*connect.Response[meetv1.CreateKeyResponse], error) {
	g.made = req.Msg
	return connect.NewResponse(&meetv1.CreateKeyResponse{Key: &meetv1.ApiKey{Prefix: "mm_live_7Kq2mXa9", Name: req.Msg.GetName(), Role: req.Msg.GetRole(), Scopes: req.Msg.GetScopes(), State: "active"}, Secret: secret}), nil
}

func (g *guarded) ListAudit(_ context.Context, req *connect.Request[meetv1.ListAuditRequest]) (*connect.Response[meetv1.ListAuditResponse], error) {
	if req.Msg.GetPageToken() == "" {
		return connect.NewResponse(&meetv1.ListAuditResponse{Entries: []*meetv1.AuditEntry{{Sequence: 1, Action: "meeting.create"}}, NextPageToken: "2"}), nil
	}
	if g.fails {
		return nil, connect.NewError(connect.CodeUnavailable, nil)
	}
	return connect.NewResponse(&meetv1.ListAuditResponse{Entries: []*meetv1.AuditEntry{{Sequence: 2, Action: "meeting.cancel"}}}), nil
}

func (g *guarded) VerifyAudit(_ context.Context, req *connect.Request[meetv1.VerifyAuditRequest]) (*connect.Response[meetv1.VerifyAuditResponse], error) {
	g.asked = append(g.asked, req.Msg)
	next := g.report[0]
	g.report = g.report[1:]
	return connect.NewResponse(next), nil
}

func (g *guarded) ErasePerson(_ context.Context, _ *connect.Request[meetv1.ErasePersonRequest]) (*connect.Response[meetv1.ErasePersonResponse], error) {
	return connect.NewResponse(&meetv1.ErasePersonResponse{Pseudonym: "erased-1@erased.invalid", Rows: map[string]int64{"participant": 2}}), nil
}

// at runs one command line against g with an environment.
func (g *guarded) at(t *testing.T, env map[string]string, args ...string) (out, errs string, code int) {
	t.Helper()
	mux := http.NewServeMux()
	mux.Handle(meetv1connect.NewAccessServiceHandler(g))
	mux.Handle(meetv1connect.NewAuditServiceHandler(g))
	mux.Handle(meetv1connect.NewPrivacyServiceHandler(g))
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.shown = append(g.shown, r.Header.Get("Authorization"))
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	var stdout, stderr bytes.Buffer
	code = command.Run(t.Context(), append([]string{"--server", server.URL}, args...), command.Terminal{
		Out: &stdout, Err: &stderr, Zone: time.UTC, Getenv: func(name string) string { return env[name] },
	})
	return stdout.String(), stderr.String(), code
}

func TestTheCredentialComesFromAFileOrTheEnvironment(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte("of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	both := map[string]string{"MEETCTL_TOKEN": "of-meetctl", "MEET_API_KEY": " of-all "}
	for _, c := range []struct {
		env  map[string]string
		args []string
		want string
	}{
		{nil, nil, ""}, {both, nil, "Bearer of-meetctl"}, {map[string]string{"MEET_API_KEY": " of-all "}, nil, "Bearer of-all"}, {both, []string{"--token-file", file}, "Bearer of-the-file"},
	} {
		g := &guarded{}
		if _, errs, code := g.at(t, c.env, append(c.args, "audit", "list")...); code != 0 || len(g.shown) != 1 || g.shown[0] != c.want {
			t.Errorf("%v %v: shown %q, exit %d %s", c.env, c.args, g.shown, code, errs)
		}
	}
	for _, c := range []struct {
		env  map[string]string
		args []string
	}{{map[string]string{"MEET_API_KEY": "two words"}, nil}, {nil, []string{"--token-file", file + "-none"}}} {
		g := &guarded{}
		if _, errs, code := g.at(t, c.env, append(c.args, "audit", "list")...); code != 2 || len(g.shown) > 0 || strings.Contains(errs, "two words") {
			t.Errorf("exit %d %s", code, errs)
		}
	}
}

func TestTheCredentialIsNotShownToWhomTheServerRedirectsTo(t *testing.T) {
	var seen []string
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = append(seen, r.Header.Get("Authorization")) }))
	t.Cleanup(other.Close)
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	t.Cleanup(server.Close)
	command.Run(t.Context(), []string{"--server", server.URL, "keys", "list"}, command.Terminal{
		Out: new(bytes.Buffer), Err: new(bytes.Buffer), Zone: time.UTC, Getenv: func(string) string { return secret },
	})
	for _, shown := range seen {
		if shown != "" {
			t.Errorf("shown %q", shown)
		}
	}
}

func TestAKeysSecretIsShownOnceOrKeptInAFile(t *testing.T) {
	g := &guarded{}
	out, _, code := g.at(t, nil, "keys", "create", "--name", "crm", "--role", "external", "--user", "7", "--scope", "meetings:read", "--scope", "jobs:read")
	if code != 0 || !strings.Contains(out, secret) || g.made.GetRole() != meetv1.UserRole_USER_ROLE_EXTERNAL || g.made.GetUserId() != 7 || len(g.made.GetScopes()) != 2 {
		t.Errorf("exit %d %s %v", code, out, g.made)
	}
	file := filepath.Join(t.TempDir(), "key")
	out, _, code = g.at(t, nil, "-o", "json", "keys", "create", "--name", "crm", "--secret-file", file)
	raw, err := os.ReadFile(file)
	if err != nil || code != 0 || strings.Contains(out, secret) || string(raw) != secret+"\n" {
		t.Errorf("exit %d %s %q %v", code, out, raw, err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", info, err)
	}
	if _, errs, code := g.at(t, nil, "keys", "create", "--name", "crm", "--secret-file", file); code == 0 || !strings.Contains(errs, "mm_live_7Kq2mXa9") {
		t.Errorf("a file that is there: exit %d %s", code, errs)
	}
	if _, _, code := g.at(t, nil, "keys", "create", "--name", "crm", "--role", "internal"); code != 2 {
		t.Errorf("a role of no key: exit %d", code)
	}
}

func TestAnExportIsWholeOrNotThere(t *testing.T) {
	g := &guarded{}
	out, _, code := g.at(t, nil, "audit", "export")
	if lines := strings.Split(strings.TrimSpace(out), "\n"); code != 0 || len(lines) != 2 || !strings.HasPrefix(lines[1], `{"sequence":"2",`) {
		t.Errorf("exit %d %s", code, out)
	}
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	g.fails = true
	if _, _, code := g.at(t, nil, "audit", "export", "--file", file); code == 0 {
		t.Error("a part passes")
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a part stays")
	}
}

func TestTheWholeChainIsCheckedAndABadEntryIsExitOne(t *testing.T) {
	g := &guarded{report: []*meetv1.VerifyAuditResponse{{Checked: 10, LastSequence: 10, LastHash: "aa"}, {Checked: 3, LastSequence: 13, LastHash: "bb", Done: true}}}
	out, _, code := g.at(t, nil, "audit", "verify")
	if code != 0 || !strings.Contains(out, "13:bb") || len(g.asked) != 2 || g.asked[1].GetAfterSequence() != 10 || g.asked[1].GetAfterHash() != "aa" {
		t.Errorf("exit %d %s %v", code, out, g.asked)
	}
	g = &guarded{report: []*meetv1.VerifyAuditResponse{{Checked: 4, LastSequence: 4, Done: true, BadSequence: 5, BadReason: "hash", BadText: "changed"}}}
	if out, _, code := g.at(t, nil, "audit", "verify", "--after", "3:cc"); code != 1 || !strings.Contains(out, "5 (hash): changed") || g.asked[0].GetAfterHash() != "cc" {
		t.Errorf("exit %d %s", code, out)
	}
	if _, _, code := g.at(t, nil, "audit", "verify", "--after", "x"); code != 2 {
		t.Errorf("exit %d", code)
	}
}

func TestAnErasureMustBeMeant(t *testing.T) {
	g := &guarded{}
	if _, _, code := g.at(t, nil, "privacy", "erase", "p@mail.example"); code != 2 || len(g.shown) > 0 {
		t.Errorf("exit %d", code)
	}
	if out, _, code := g.at(t, nil, "privacy", "erase", "p@mail.example", "--yes"); code != 0 || !strings.Contains(out, "erased-1@erased.invalid") {
		t.Errorf("exit %d %s", code, out)
	}
}
