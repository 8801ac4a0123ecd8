package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alexedwards/argon2id"
	"github.com/google/uuid"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// verify checks the whole log in stretches of limit.
func (i *instance) verify(tb testing.TB, limit int) (checked int64, bad *audit.Fault) {
	tb.Helper()
	var from app.AuditAnchor
	for {
		r, err := i.store.VerifyAudit(tb.Context(), from, limit)
		if err != nil {
			tb.Fatal(err)
		}
		checked += r.Checked
		if r.Done {
			return checked, r.Bad
		}
		from = r.Last
	}
}

// lines are the entries, oldest first.
func (i *instance) lines(tb testing.TB) []audit.Entry {
	tb.Helper()
	var out []audit.Entry
	for _, text := range column[string](tb, i, `SELECT line FROM audit ORDER BY seq`) {
		e, err := audit.ParseLine(text)
		if err != nil {
			tb.Fatal(err)
		}
		out = append(out, e)
	}
	return out
}

// as makes a command that of somebody.
func as(c *app.Command, principal string, role access.Role, user account.ID) *app.Command {
	c.Principal, c.Actor = principal, app.Actor{Role: role, UserID: user, Credential: "key"}
	c.RequestID, c.RemoteAddr = "r-"+principal, "192.0.2.7"
	return c
}

func TestEveryChangeAndEveryRefusalIsInTheLog(t *testing.T) {
	i := newInstance(t)
	i.accept(t, create("doctor@clinic.example"), create("nurse@clinic.example"))
	patch := update(1, meeting.Patch{Summary: new("Dr. House, room 7"), AddGuests: []string{"new@mail.example"}})
	stranger := as(update(1, meeting.Patch{Summary: new("x")}), "key:mm_live_ext", access.External, 2)
	owner := as(update(2, meeting.Patch{Description: new("mine")}), "key:mm_live_ext", access.External, 2)
	forged := as(create("doctor@clinic.example"), "key:mm_live_ext", access.External, 2)
	mine := as(create("Nurse@clinic.example"), "key:mm_live_ext", access.External, 2)
	outcome := as(synced(1, 1, 1), "key:mm_live_ext", access.External, 2)
	unknown := as(cancel(99), "user:1", access.Admin, 0)
	limited := as(cancel(2), "key:mm_live_ro", access.Service, 0)
	limited.Actor.Limits = access.LimitTo("meetings:read")
	nobody := as(cancel(2), "", access.Nobody, 0)
	i.process(t, patch, stranger, owner, forged, mine, outcome, unknown, limited, nobody)

	for _, c := range []struct {
		name    string
		command *app.Command
		outcome audit.Outcome
		reason  string
		about   string
	}{
		{"a change", patch, audit.OK, "", "meeting 1"},
		{"another's is not there", stranger, audit.Refused, meeting.ReasonNotFound, "meeting 1"},
		{"his own", owner, audit.OK, "", "meeting 2"},
		{"a meeting of another", forged, audit.Denied, access.ReasonNotYourself, " "},
		{"a meeting of his", mine, audit.OK, "", "meeting 3"},
		{"an outcome from outside", outcome, audit.Denied, access.ReasonForbidden, "meeting 1"},
		{"what is not there", unknown, audit.Refused, meeting.ReasonNotFound, "meeting 99"},
		{"without the scope", limited, audit.Denied, access.ReasonScope, "meeting 2"},
		{"nobody", nobody, audit.Denied, access.ReasonUnauthenticated, "meeting 2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reason := ""
			if c.command.Refusal != nil {
				reason = c.command.Refusal.Reason
			}
			if reason != c.reason {
				t.Fatalf("answered %v", c.command.Refusal)
			}
			var found []audit.Entry
			for _, e := range i.lines(t) {
				if e.Principal == c.command.Principal && e.Action == c.command.Kind && e.Reason == c.reason && (e.SubjectKind+" "+e.SubjectID == c.about) {
					found = append(found, e)
				}
			}
			if len(found) != 1 || found[0].Outcome != c.outcome || !found[0].At.Equal(today) || found[0].RequestID != c.command.RequestID || found[0].RemoteAddr != c.command.RemoteAddr {
				t.Errorf("entries %+v", found)
			}
		})
	}
	for _, e := range i.lines(t) {
		if e.Principal != "test" || e.SubjectID != "1" || e.Action != "meeting.update" {
			continue
		}
		line, err := e.Line()
		if err != nil {
			t.Fatal(err)
		}
		invited, _ := e.After["invited"].([]any)
		if len(invited) != 1 || !strings.HasPrefix(fmt.Sprint(invited[0]), "person:") || fmt.Sprint(e.After["participants_count"]) != "3" || fmt.Sprint(e.Before["participants_count"]) != "2" {
			t.Errorf("before %v, after %v", e.Before, e.After)
		}
		for _, told := range []string{"House", "new@", "mail.example", "doctor"} {
			if strings.Contains(line, told) {
				t.Errorf("the log tells %q: %s", told, line)
			}
		}
	}
	if n, bad := i.verify(t, 4); bad != nil || n != int64(len(i.lines(t))) || n != 11 {
		t.Errorf("checked %d, %+v", n, bad)
	}
	if m := ask[int64](t, i, `SELECT count(*) FROM meetings`); m != 3 {
		t.Errorf("%d meetings: what was denied was done", m)
	}
	if kept := ask[bool](t, i, `SELECT summary = 'Dr. House, room 7' FROM meetings WHERE id = 1`); !kept {
		t.Error("another's meeting was changed")
	}
}

func TestADoubleAndALateCommandAddNothing(t *testing.T) {
	i := newInstance(t)
	c := create("doctor@clinic.example")
	double, reused := *c, *c
	reused.BodyHash = "other"
	i.process(t, c, &double)
	i.process(t, &reused)
	late := create("x@clinic.example")
	late.Deadline = time.Unix(1, 0)
	i.process(t, late)
	var got []string
	for _, e := range i.lines(t) {
		got = append(got, string(e.Outcome)+" "+e.Reason)
	}
	if want := []string{"ok ", "refused " + app.ReasonKeyReused}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("entries %q, want %q", got, want)
	}
}

func TestARowChangedByHandIsFound(t *testing.T) {
	i := newInstance(t)
	for range 12 {
		i.accept(t, create("doctor@clinic.example"))
	}
	good, bad := i.verify(t, 5)
	if good != 12 || bad != nil {
		t.Fatalf("checked %d, %+v", good, bad)
	}
	for _, sql := range []string{`UPDATE audit SET line = line`, `DELETE FROM audit WHERE seq = 3`, `TRUNCATE audit`} {
		if _, err := i.sql.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s is let through", sql)
		}
	}
	anchor, err := i.store.VerifyAudit(t.Context(), app.AuditAnchor{}, 9)
	if err != nil || anchor.Last.Seq != 9 {
		t.Fatalf("%+v, %v", anchor, err)
	}
	for name, c := range map[string]struct {
		sql    string
		seq    int64
		reason string
	}{
		"a line":              {`UPDATE audit SET line = replace(line, '"ok"', '"no"') WHERE seq = 7`, 7, "hash"},
		"a column":            {`UPDATE audit SET principal = 'user:9' WHERE seq = 7`, 7, "columns"},
		"a row":               {`DELETE FROM audit WHERE seq = 7`, 7, "gap"},
		"the first row":       {`DELETE FROM audit WHERE seq = 1`, 1, "gap"},
		"the last rows":       {`DELETE FROM audit WHERE seq > 10`, 11, "gap"},
		"all rows":            {`DELETE FROM audit`, 1, "gap"},
		"the end":             {`UPDATE audit_head SET hash = sha256('x')`, 12, "head"},
		"a line and its hash": {`UPDATE audit SET line = replace(line, '"ok"', '"no"'), hash = sha256(prev_hash || convert_to(seq || ' ' || replace(line, '"ok"', '"no"'), 'UTF8')), outcome = 'refused' WHERE seq = 7`, 7, "columns"},
	} {
		t.Run(name, func(t *testing.T) {
			i.exec(t, `CREATE TABLE kept AS SELECT * FROM audit`)
			i.exec(t, `CREATE TABLE kept_head AS SELECT * FROM audit_head`)
			i.exec(t, `ALTER TABLE audit DISABLE TRIGGER USER`)
			i.exec(t, c.sql)
			if _, bad := i.verify(t, 5); bad == nil || bad.Seq != c.seq || bad.Reason != c.reason {
				t.Errorf("found %+v, want %s at %d", bad, c.reason, c.seq)
			}
			i.exec(t, `DELETE FROM audit`)
			i.exec(t, `INSERT INTO audit SELECT * FROM kept`)
			i.exec(t, `DELETE FROM audit_head`)
			i.exec(t, `INSERT INTO audit_head SELECT * FROM kept_head`)
			i.exec(t, `ALTER TABLE audit ENABLE TRIGGER USER`)
			i.exec(t, `DROP TABLE kept, kept_head`)
			if _, bad := i.verify(t, 100); bad != nil {
				t.Fatalf("put back: %+v", bad)
			}
		})
	}
	t.Run("a whole new chain against a hash kept elsewhere", func(t *testing.T) {
		i.exec(t, `ALTER TABLE audit DISABLE TRIGGER USER`)
		i.exec(t, `DELETE FROM audit`)
		i.exec(t, `UPDATE audit_head SET seq = 0, hash = sha256('')`)
		i.clock.Advance(time.Second)
		for range 12 {
			i.accept(t, create("doctor@clinic.example"))
		}
		if _, bad := i.verify(t, 100); bad != nil {
			t.Fatalf("the new chain itself: %+v", bad)
		}
		r, err := i.store.VerifyAudit(t.Context(), anchor.Last, 100)
		if err != nil || r.Bad == nil || r.Bad.Reason != "anchor" || r.Bad.Seq != 9 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestInstancesThatWriteAtOnceMakeOneChain(t *testing.T) {
	i := newInstance(t)
	others := []*instance{i, i.another(t), i.another(t)}
	var all sync.WaitGroup
	for n, one := range others {
		all.Go(func() {
			for k := range 20 {
				batch := []*app.Command{create(fmt.Sprintf("d%d-%d@clinic.example", n, k)), create(fmt.Sprintf("e%d-%d@clinic.example", n, k)), cancel(10000)}
				one.Process(context.WithoutCancel(t.Context()), batch)
				for _, c := range batch {
					if c.Err != nil {
						t.Error(c.Err)
					}
				}
			}
		})
	}
	all.Wait()
	if n, bad := i.verify(t, 7); n != 180 || bad != nil {
		t.Errorf("checked %d, %+v", n, bad)
	}
}

func TestTheLogIsFilteredAndPaged(t *testing.T) {
	i := newInstance(t)
	i.accept(t, as(create("doctor@clinic.example", "ana@mail.example"), "key:a", access.Service, 0))
	i.clock.Advance(time.Hour)
	i.process(t, as(cancel(1), "key:b", access.Service, 0), as(cancel(77), "key:b", access.Service, 0))
	i.accept(t, command("audit.record", &app.RecordAudit{Entries: []audit.Entry{{Principal: "", Action: "POST /api/v1/meetings/", Reason: "KEY_REVOKED", RemoteAddr: "198.51.100.4", Count: 12}}}))
	page := app.Page{Limit: 10}
	for name, c := range map[string]struct {
		f    app.AuditFilter
		want []int64
	}{
		"all, newest first":   {app.AuditFilter{Page: page}, []int64{4, 3, 2, 1}},
		"oldest first":        {app.AuditFilter{Page: page, Ascending: true}, []int64{1, 2, 3, 4}},
		"the next page":       {app.AuditFilter{Page: app.Page{After: 3, Limit: 1}}, []int64{2}},
		"the next, ascending": {app.AuditFilter{Page: app.Page{After: 3, Limit: 1}, Ascending: true}, []int64{4}},
		"by principal":        {app.AuditFilter{Page: page, Principal: "key:b"}, []int64{3, 2}},
		"by action":           {app.AuditFilter{Page: page, Action: "meeting.create"}, []int64{1}},
		"by subject":          {app.AuditFilter{Page: page, SubjectKind: audit.Meeting, SubjectID: "1"}, []int64{2, 1}},
		"by outcome":          {app.AuditFilter{Page: page, Outcome: "refused"}, []int64{3}},
		"denied":              {app.AuditFilter{Page: page, Outcome: "denied"}, []int64{4}},
		"since":               {app.AuditFilter{Page: page, From: today.Add(time.Minute)}, []int64{4, 3, 2}},
		"until":               {app.AuditFilter{Page: page, To: today.Add(time.Hour)}, []int64{1}},
		"by person":           {app.AuditFilter{Page: page, Email: "ANA@mail.example"}, []int64{1}},
		"by another person":   {app.AuditFilter{Page: page, Email: "bob@mail.example"}, nil},
		"by request":          {app.AuditFilter{Page: page, RequestID: "r-key:a"}, []int64{1}},
		"by a part of one":    {app.AuditFilter{Page: page, RequestID: "r-key"}, nil},
		"by what no row has":  {app.AuditFilter{Page: page, Principal: "\x00"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			for _, f := range []app.AuditFilter{c.f} {
				rows, err := i.store.ListAudit(t.Context(), f)
				if err != nil {
					t.Fatal(err)
				}
				var got []int64
				for k := range rows {
					got = append(got, rows[k].Seq)
				}
				if fmt.Sprint(got) != fmt.Sprint(c.want) {
					t.Errorf("got %d, want %d", got, c.want)
				}
			}
		})
	}
	if e := i.lines(t)[3]; e.Count != 12 || e.Outcome != audit.Denied || e.SubjectKind != audit.Request || e.Role != "" {
		t.Errorf("the gateway's: %+v", e)
	}
}

func newKey(prefix string, change func(*identity.Key)) *app.Command {
	k := identity.Key{Name: "clinic", Prefix: "mm_live_" + prefix, Hash: identity.Hash{1}, Mode: "live", Role: account.Service}
	if change != nil {
		change(&k)
	}
	return command("access.create_key", &app.CreateKey{Key: k})
}

func (i *instance) authenticator(tb testing.TB) *app.Authenticator {
	tb.Helper()
	return app.NewAuthenticator(i.store, i.clock.Now, slog.New(slog.DiscardHandler))
}

func argon(tb testing.TB, password string) string {
	tb.Helper()
	hash, err := argon2id.CreateHash(password, &argon2id.Params{Memory: 8, Iterations: 1, Parallelism: 1, SaltLength: 16, KeyLength: 16})
	if err != nil {
		tb.Fatal(err)
	}
	return hash
}

func faultReason(err error) string {
	var f *fault.Fault
	if errors.As(err, &f) && f != nil {
		return f.Reason
	}
	return fmt.Sprint(err)
}

func TestAKeyLivesFromItsMakingToItsEnd(t *testing.T) {
	i := newInstance(t)
	auth := i.authenticator(t)
	i.accept(t, create("doctor@clinic.example"))
	i.accept(t, newKey("first1234", func(k *identity.Key) {
		k.Role, k.UserID, k.Scopes = account.External, 1, []string{"meetings:write", "meetings:read", "meetings:read"}
	}))
	caller, err := auth.Key(t.Context(), "mm_live_first1234", identity.Hash{1})
	if err != nil || caller.Principal != "key:mm_live_first1234" || caller.Role != account.External || caller.UserID != 1 || fmt.Sprint(caller.Scopes) != "[meetings:read meetings:write]" {
		t.Fatalf("%+v, %v", caller, err)
	}
	if used := ask[time.Time](t, i, `SELECT last_used_at FROM api_keys`); !used.Equal(today) {
		t.Errorf("last used %s", used)
	}
	i.clock.Advance(30 * time.Second)
	if _, err := auth.Key(t.Context(), "mm_live_first1234", identity.Hash{1}); err != nil || !ask[time.Time](t, i, `SELECT last_used_at FROM api_keys`).Equal(today) {
		t.Errorf("a use within the minute is written: %v", err)
	}
	for name, hash := range map[string]identity.Hash{"mm_live_first1234": {2}, "mm_live_other": {1}, "\x00": {1}} {
		if _, err := auth.Key(t.Context(), name, hash); faultReason(err) != identity.ReasonKeyUnknown {
			t.Errorf("%q: %v", name, err)
		}
	}
	taken := newKey("first1234", nil)
	i.process(t, taken)
	if taken.Refusal == nil || taken.Refusal.Kind != fault.AlreadyExists {
		t.Errorf("a taken prefix: %v", taken.Refusal)
	}

	rotate := command("access.rotate_key", &app.RotateKey{Key: "mm_live_first1234", Successor: identity.Key{Prefix: "mm_live_second123", Hash: identity.Hash{3}}, Overlap: time.Hour})
	i.accept(t, rotate)
	if fmt.Sprint(rotate.Changed) != "[key:mm_live_first1234]" {
		t.Errorf("changed %q", rotate.Changed)
	}
	for _, c := range []struct {
		prefix string
		hash   byte
		after  time.Duration
		want   string
	}{{"first1234", 1, 0, ""}, {"second123", 3, 0, ""}, {"first1234", 1, time.Hour, identity.ReasonKeyExpired}, {"second123", 3, 0, ""}} {
		i.clock.Advance(c.after)
		got, err := auth.Key(t.Context(), "mm_live_"+c.prefix, identity.Hash{c.hash})
		if c.want == "" && (err != nil || got.UserID != 1 || len(got.Scopes) != 2) || c.want != "" && faultReason(err) != c.want {
			t.Errorf("%s: %+v, %v", c.prefix, got, err)
		}
	}
	uid := ask[string](t, i, `SELECT uid::text FROM api_keys WHERE prefix = 'mm_live_second123'`)
	i.accept(t, command("user.update", &app.UpdateUser{ID: 1, Patch: account.Patch{Active: new(false)}}))
	if _, err := auth.Key(t.Context(), "mm_live_second123", identity.Hash{3}); faultReason(err) != identity.ReasonUserInactive {
		t.Errorf("of one who left: %v", err)
	}
	i.accept(t, command("user.update", &app.UpdateUser{ID: 1, Patch: account.Patch{Active: new(true)}}))
	revoke := command("access.revoke_key", &app.RevokeKey{Key: uid})
	i.accept(t, revoke, command("access.revoke_key", &app.RevokeKey{Key: uid}))
	if _, err := auth.Key(t.Context(), "mm_live_second123", identity.Hash{3}); faultReason(err) != identity.ReasonKeyRevoked || fmt.Sprint(revoke.Changed) != "[key:mm_live_second123]" {
		t.Errorf("revoked: %v, changed %q", err, revoke.Changed)
	}
	gone := command("access.revoke_key", &app.RevokeKey{Key: "mm_live_nobody12"})
	i.process(t, gone)
	if faultReason(gone.Refusal) != identity.ReasonKeyNotFound {
		t.Errorf("of none: %v", gone.Refusal)
	}
	i.accept(t, newKey("third12345", nil))
	f := app.KeyFilter{Page: app.Page{Limit: 10}, Now: i.clock.Now()}
	keys, _, err := i.store.ListKeys(t.Context(), f)
	if err != nil || len(keys) != 1 || keys[0].Prefix != "mm_live_third12345" {
		t.Errorf("active ones: %v, %v", keys, err)
	}
	f.Ended, f.UserID = true, 1
	if keys, _, err = i.store.ListKeys(t.Context(), f); err != nil || len(keys) != 2 {
		t.Errorf("the user's: %v, %v", keys, err)
	}
	for _, line := range column[string](t, i, `SELECT line FROM audit`) {
		if strings.Contains(line, "0100000000") { // the hash, in hexadecimal
			t.Errorf("the log holds a hash: %s", line)
		}
	}
	if _, bad := i.verify(t, 100); bad != nil {
		t.Error(bad)
	}
}

func TestASessionEndsWithItsUsersPassword(t *testing.T) {
	i := newInstance(t)
	auth := i.authenticator(t)
	i.accept(t, create("doctor@clinic.example"))
	open := func(h byte) {
		t.Helper()
		i.accept(t, command("access.open_session", &app.OpenSession{Session: identity.Session{Hash: identity.Hash{h}, UserID: 1, ExpiresAt: i.clock.Now().Add(8 * time.Hour)}}))
	}
	open(1)
	if c, err := auth.Session(t.Context(), identity.Hash{1}); err != nil || c.Principal != "user:1" || c.User.Username != "doctor" {
		t.Fatalf("%+v, %v", c, err)
	}
	for range 5 { // used, it lives on beyond its idle time
		i.clock.Advance(25 * time.Minute)
		if _, err := auth.Session(t.Context(), identity.Hash{1}); err != nil {
			t.Fatal(err)
		}
	}
	i.clock.Advance(31 * time.Minute)
	if _, err := auth.Session(t.Context(), identity.Hash{1}); faultReason(err) != identity.ReasonSessionExpired {
		t.Errorf("idle: %v", err)
	}
	open(2)
	i.exec(t, `UPDATE console_sessions SET expires_at = $1 WHERE token_hash = $2`, i.clock.Now().Add(-time.Second), func() []byte { h := identity.Hash{1}; return h[:] }())
	lead, err := i.store.Lead(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n, err := lead.Sweep(t.Context(), i.clock.Now()); err != nil || n != 1 || ask[int64](t, i, `SELECT count(*) FROM console_sessions`) != 1 {
		t.Errorf("%d rows swept, %v", n, err)
	}
	if err := lead.Close(t.Context()); err != nil {
		t.Error(err)
	}
	close2 := command("access.close_session", &app.CloseSession{Hash: identity.Hash{2}})
	i.accept(t, close2, command("access.close_session", &app.CloseSession{Hash: identity.Hash{2}}))
	if _, err := auth.Session(t.Context(), identity.Hash{2}); faultReason(err) != identity.ReasonSessionUnknown || fmt.Sprint(close2.Changed) != "[user:1]" {
		t.Errorf("closed: %v, %q", err, close2.Changed)
	}
	open(3)
	changed := command("user.update", &app.UpdateUser{ID: 1, Patch: account.Patch{PasswordHash: new("$argon2id$x")}})
	i.accept(t, changed)
	if _, err := auth.Session(t.Context(), identity.Hash{3}); faultReason(err) != identity.ReasonSessionUnknown || fmt.Sprint(changed.Changed) != "[user:1]" {
		t.Errorf("after a new password: %v, %q", err, changed.Changed)
	}
	if last := i.lines(t); last[len(last)-1].After["password"] != "changed" || strings.Contains(fmt.Sprint(last), "argon2id") {
		t.Errorf("the log says %v", last[len(last)-1])
	}
	nobody := command("access.open_session", &app.OpenSession{Session: identity.Session{Hash: identity.Hash{4}, UserID: 9, ExpiresAt: i.clock.Now().Add(time.Hour)}})
	i.process(t, nobody)
	if faultReason(nobody.Refusal) != identity.ReasonUserInactive {
		t.Errorf("of nobody: %v", nobody.Refusal)
	}
}

func TestTheFirstAdminIsMadeOnceByTheTokenThatWasOffered(t *testing.T) {
	i := newInstance(t)
	offer := func(h byte) *app.Command {
		return command("access.offer_admin", &app.OfferAdmin{Hash: identity.Hash{h}})
	}
	claim := func(h byte, name string) *app.Command {
		return command("access.claim_admin", &app.ClaimAdmin{Hash: identity.Hash{h}, User: app.CreateUser{Username: name, Email: name + "@clinic.example", PasswordHash: "$argon2id$"}})
	}
	i.accept(t, offer(1), offer(2))
	if n := ask[int64](t, i, `SELECT count(*) FROM one_time_links`); n != 1 {
		t.Fatalf("%d offered by two gateways that start together", n)
	}
	i.clock.Advance(10 * time.Minute)
	i.accept(t, offer(3)) // the first was lost
	for _, c := range []struct {
		command *app.Command
		want    string
	}{
		{claim(1, "late"), identity.ReasonLink},
		{claim(2, "never"), identity.ReasonLink},
		{claim(3, ""), "INVALID_ARGUMENT"},
		{claim(3, "root"), ""},
		{claim(3, "other"), identity.ReasonLink},
	} {
		i.process(t, c.command)
		if got := faultReason(c.command.Refusal); c.command.Refusal == nil && c.want != "" || c.command.Refusal != nil && got != c.want {
			t.Errorf("%s, want %q", got, c.want)
		}
	}
	if got := ask[string](t, i, `SELECT string_agg(username || ' ' || role, ',') FROM users`); got != "root admin" {
		t.Errorf("users %q", got)
	}
	again := offer(4)
	i.accept(t, again)
	if n := ask[int64](t, i, `SELECT count(*) FROM one_time_links WHERE used_at IS NULL AND expires_at > now() + interval '100 years'`); n != 0 {
		t.Error("offered while an admin is there")
	}
	i.exec(t, `INSERT INTO one_time_links (token_hash, purpose, created_at, expires_at) VALUES ('\x0500000000000000000000000000000000000000000000000000000000000000', 'first_admin', $1, $1::timestamptz + interval '1 day')`, i.clock.Now())
	second := claim(5, "second")
	i.process(t, second)
	if faultReason(second.Refusal) != identity.ReasonClaimed {
		t.Errorf("a second admin: %v", second.Refusal)
	}
}

func TestALoginSaysNothingOfWhatIsWrong(t *testing.T) {
	i := newInstance(t)
	auth := i.authenticator(t)
	hash := argon(t, "right horse")
	i.accept(t, command("user.create", &app.CreateUser{Username: "root", Email: "Root@clinic.example", Role: account.Admin, PasswordHash: hash}),
		command("user.create", &app.CreateUser{Username: "gone", Email: "gone@clinic.example", Role: account.Admin, PasswordHash: hash}), create("nopass@clinic.example"))
	i.exec(t, `UPDATE users SET is_active = false WHERE username = 'gone'`)
	for _, c := range []struct {
		login, password string
		want            bool
	}{
		{"root", "right horse", true},
		{"root@CLINIC.example", "right horse", true},
		{"root", "wrong", false},
		{"nobody", "right horse", false},
		{"gone", "right horse", false},
		{"nopass", "", false},
		{"", "", false},
		{"\x00", "x", false},
	} {
		user, ok, err := auth.Login(t.Context(), c.login, c.password)
		if err != nil || ok != c.want || ok != (user != nil) {
			t.Errorf("%q %q: %v, %v", c.login, c.password, ok, err)
		}
	}
}

func TestOwnershipIsAskedInSQL(t *testing.T) {
	i := newInstance(t)
	a, b := create("a@clinic.example"), create("b@clinic.example")
	i.accept(t, a, b)
	i.exec(t, `INSERT INTO recordings (meeting_id, state, created_at) VALUES (1, 'started', now()), (2, 'started', now())`)
	uid := ask[string](t, i, `SELECT uid::text FROM meetings WHERE id = 1`)
	job := ask[uuid.UUID](t, i, `SELECT id FROM jobs WHERE meeting_id = 1 AND class = 'google'`)
	participant := ask[int64](t, i, `SELECT min(id) FROM participants WHERE meeting_id = 1`)
	ctx := t.Context()
	for name, owns := range map[string]func(user account.ID) (bool, error){
		"a meeting":        func(u account.ID) (bool, error) { return i.store.OwnsMeeting(ctx, meeting.Ref{ID: 1}, u) },
		"a meeting by uid": func(u account.ID) (bool, error) { return i.store.OwnsMeeting(ctx, meeting.Ref{UID: uid}, u) },
		"a participant":    func(u account.ID) (bool, error) { return i.store.OwnsParticipant(ctx, participant, u) },
		"a recording":      func(u account.ID) (bool, error) { return i.store.OwnsRecording(ctx, 1, u) },
		"an operation":     func(u account.ID) (bool, error) { return i.store.OwnsOperation(ctx, a.ID, u) },
		"a job":            func(u account.ID) (bool, error) { return i.store.OwnsJob(ctx, job, u) },
	} {
		for user, want := range map[account.ID]bool{1: true, 2: false, 0: false} {
			if got, err := owns(user); err != nil || got != want {
				t.Errorf("%s of user %d: %v, %v", name, user, got, err)
			}
		}
	}
	if is, err := i.store.OwnsMeeting(ctx, meeting.Ref{ID: 99}, 1); err != nil || is {
		t.Errorf("what is not there: %v, %v", is, err)
	}
}
