package postgres_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// tablesThatName are the tables of the schema with a row that holds the text anywhere.
func tablesThatName(t *testing.T, i *instance, text string) []string {
	t.Helper()
	var found []string
	for _, table := range column[string](t, i, `SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' ORDER BY 1`) {
		if ask[int64](t, i, `SELECT count(*) FROM `+table+` AS row WHERE strpos(lower(row::text), lower($1)) > 0`, text) > 0 {
			found = append(found, table)
		}
	}
	return found
}

// past makes a meeting that was held, with an organizer and a guest, an attendance and what was said.
func past(t *testing.T, i *instance, organizer, guest string) {
	t.Helper()
	c := create(organizer, guest)
	c.Do.(*app.CreateMeeting).Spec.Start, c.Do.(*app.CreateMeeting).Spec.End = i.clock.Now(), i.clock.Now().Add(time.Hour)
	i.accept(t, c)
	id := ask[int64](t, i, `SELECT max(id) FROM meetings`)
	i.accept(t, synced(id, 1, 1))
	i.exec(t, `INSERT INTO conferences (meeting_id, account, record, started_at, ended_at, source, created_at)
		VALUES ($1, $2, 'conferenceRecords/' || $1::bigint, now(), now(), 'reading', now())`, id, organizer)
	i.exec(t, `INSERT INTO attendees (conference_id, name, kind, google_user, display_name, email, participant_id, match, match_reason)
		SELECT c.id, c.record || '/participants/1', 'signed_in', 'users/77', CASE WHEN p.email ILIKE 'ana@%' THEN 'Ana María' ELSE 'Somebody' END, p.email, p.id, 'certain', 'directory'
		FROM conferences c JOIN participants p ON p.meeting_id = c.meeting_id AND p.role = 'guest' WHERE c.meeting_id = $1`, id)
	i.exec(t, `INSERT INTO attendee_sessions (name, attendee_id, joined_at) SELECT a.name || '/s/1', a.id, now() FROM attendees a JOIN conferences c ON c.id = a.conference_id WHERE c.meeting_id = $1`, id)
	i.exec(t, `INSERT INTO recordings (meeting_id, state, shared_with, created_at) VALUES ($1, 'file_generated', ARRAY[$2, 'else@x.example'], now())`, id, guest)
	i.exec(t, `INSERT INTO jobs (id, class, kind, meeting_id, state, priority, due_at, dispatch, failed_attempts, payload, created_at)
		VALUES (gen_random_uuid(), 'export', 'share_recording', $1, 'done', 1, now(), 1, 0, jsonb_build_object('emails', jsonb_build_array($2::text)), now())`, id, guest)
	i.clock.Advance(48 * time.Hour)
}

func erase(email string) *app.Command {
	return command("privacy.erase", &app.ErasePerson{Email: email, Reason: "request 17"})
}

func TestAnErasedPersonIsNowhere(t *testing.T) {
	i := newInstance(t)
	past(t, i, "doctor@clinic.example", "Ana@mail.example")
	past(t, i, "doctor@clinic.example", "bob@mail.example")
	if tables := tablesThatName(t, i, "ana@mail.example"); len(tables) < 4 {
		t.Fatalf("only %q name her to begin with", tables)
	}
	body := ask[string](t, i, `SELECT string_agg(body, '|' ORDER BY pos) FROM events`)
	c := erase("ANA@mail.example")
	i.accept(t, c)
	if tables := tablesThatName(t, i, "ana@mail.example"); len(tables) > 0 {
		t.Errorf("%q still name her", tables)
	}
	if tables := tablesThatName(t, i, "Ana María"); len(tables) > 0 {
		t.Errorf("%q still call her by name", tables)
	}
	for what, sql := range map[string]string{
		"her place among the invited":   `SELECT email = 'erased-1@erased.invalid' FROM participants WHERE meeting_id = 1 AND role = 'guest'`,
		"her presence, with its times":  `SELECT a.display_name = 'erased-1@erased.invalid' AND a.google_user = '' AND EXISTS (SELECT FROM attendee_sessions s WHERE s.attendee_id = a.id) FROM attendees a WHERE a.id = 1`,
		"with whom it is shared":        `SELECT shared_with @> ARRAY['erased-1@erased.invalid', 'else@x.example'] FROM recordings WHERE meeting_id = 1`,
		"the others of another meeting": `SELECT count(*) = 1 FROM participants WHERE email = 'bob@mail.example'`,
		"the others' names":             `SELECT count(*) = 1 FROM attendees WHERE display_name = 'Somebody' AND email = 'bob@mail.example'`,
		"the meeting's times":           `SELECT scheduled_start IS NOT NULL FROM meetings WHERE id = 1`,
	} {
		if !ask[bool](t, i, sql) {
			t.Errorf("%s is not as it should be", what)
		}
	}
	if now := ask[string](t, i, `SELECT string_agg(body, '|' ORDER BY pos) FROM events WHERE pos <= (SELECT count(*) FROM events)`); !strings.HasPrefix(now, body) {
		t.Error("an event was edited")
	}
	lines := i.lines(t)
	if last := lines[len(lines)-1]; last.Action != "privacy.erase" || last.SubjectKind != audit.Person || last.After["pseudonym"] != "erased-1@erased.invalid" || strings.Contains(fmt.Sprint(last), "request 17") {
		t.Errorf("the log says %+v", last)
	}
	if _, bad := i.verify(t, 100); bad != nil {
		t.Errorf("the log no longer holds: %+v", bad)
	}
	rows, err := i.store.ListAudit(t.Context(), app.AuditFilter{Page: app.Page{Limit: 10}, Email: "ana@mail.example"})
	if err != nil || len(rows) != 2 {
		t.Errorf("who has the address finds %d entries that name her, %v", len(rows), err)
	}
	again := erase("ana@mail.example")
	i.process(t, again)
	if faultReason(again.Refusal) != app.ReasonPersonUnknown {
		t.Errorf("again: %v", again.Refusal)
	}
}

func TestAnErasedOrganizerCanNoLongerComeIn(t *testing.T) {
	i := newInstance(t)
	past(t, i, "doctor@clinic.example", "ana@mail.example")
	i.accept(t, command("user.update", &app.UpdateUser{ID: 1, Patch: account.Patch{FirstName: new("Gregory"), PasswordHash: new("$argon2id$")}}))
	c := erase("doctor@clinic.example")
	i.accept(t, c)
	for _, text := range []string{"doctor", "Gregory", "$argon2id$"} {
		if tables := tablesThatName(t, i, text); len(tables) > 0 {
			t.Errorf("%q still hold %q", tables, text)
		}
	}
	if got := ask[string](t, i, `SELECT username || ' ' || email || ' ' || is_active FROM users WHERE id = 1`); got != "erased-1 erased-1@erased.invalid false" {
		t.Errorf("user %q", got)
	}
	if fmt.Sprint(c.Changed) != "[user:1]" {
		t.Errorf("changed %q", c.Changed)
	}
	i.accept(t, create("doctor@clinic.example")) // he comes back as somebody new
	if n := ask[int64](t, i, `SELECT count(*) FROM users`); n != 2 {
		t.Errorf("%d users", n)
	}
}

func TestWhatStandsAgainstAnErasureIsNamed(t *testing.T) {
	i := newInstance(t)
	past(t, i, "doctor@clinic.example", "held@mail.example")
	i.exec(t, `UPDATE meetings SET legal_hold = true WHERE id = 1`)
	ahead := create("doctor2@clinic.example", "ahead@mail.example")
	ahead.Do.(*app.CreateMeeting).Spec.Start, ahead.Do.(*app.CreateMeeting).Spec.End = i.clock.Now().Add(time.Hour), i.clock.Now().Add(2*time.Hour)
	i.accept(t, ahead)
	past(t, i, "doctor3@clinic.example", "free@mail.example")
	i.exec(t, `UPDATE meetings SET recording_state = 'ended' WHERE id = 3`)
	for _, c := range []struct{ email, reason, meetings string }{
		{"held@mail.example", app.ReasonPersonHeld, "1"},
		{"doctor@clinic.example", app.ReasonPersonHeld, "1"},
		{"nobody@mail.example", app.ReasonPersonUnknown, ""},
		{"", app.ReasonPersonUnknown, ""},
		{"doctor3@clinic.example", app.ReasonPersonUnderWay, "3"},
	} {
		e := erase(c.email)
		i.process(t, e)
		if faultReason(e.Refusal) != c.reason || e.Refusal.Meta["meetings"] != c.meetings {
			t.Errorf("%s: %v %v", c.email, e.Refusal, e.Refusal.Meta)
		}
	}
	i.clock.Advance(-47 * time.Hour) // before the second meeting's end
	e := erase("ahead@mail.example")
	i.process(t, e)
	if faultReason(e.Refusal) != app.ReasonPersonExpected || e.Refusal.Meta["meetings"] != "2" {
		t.Errorf("expected: %v", e.Refusal)
	}
	i.accept(t, erase("free@mail.example"))
	i.accept(t, update(1, meeting.Patch{}))
}

func TestTwoErasuresOfOneBatchDoNotShareAName(t *testing.T) {
	i := newInstance(t)
	past(t, i, "doctor@clinic.example", "ana@mail.example")
	past(t, i, "doctor@clinic.example", "bob@mail.example")
	twice := erase("Ana@mail.example")
	i.process(t, erase("ana@mail.example"), erase("bob@mail.example"), twice)
	if faultReason(twice.Refusal) != app.ReasonPersonUnknown {
		t.Errorf("the same again: %v", twice.Refusal)
	}
	if got := ask[int64](t, i, `SELECT count(DISTINCT email) FROM participants WHERE email LIKE 'erased-%@erased.invalid'`); got != 2 {
		t.Errorf("%d pseudonyms for two", got)
	}
}

func TestAnExportHoldsAllThatIsKept(t *testing.T) {
	i := newInstance(t)
	past(t, i, "doctor@clinic.example", "ana@mail.example")
	past(t, i, "ana@mail.example", "bob@mail.example")
	i.accept(t, newKey("ofana12345", nil))
	i.exec(t, `UPDATE api_keys SET user_id = (SELECT id FROM users WHERE email = 'ana@mail.example')`)
	i.accept(t, as(update(2, meeting.Patch{Summary: new("s")}), "user:2", "external", 2))
	for _, limit := range []int{1, 2, 100} {
		counts := map[string]int{}
		var place app.ExportPlace
		for place.Kind < len(app.PersonKinds) {
			records, next, err := i.store.ExportPerson(t.Context(), "Ana@mail.example", place, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range records {
				counts[r.Kind]++
				var row map[string]any
				if err := json.Unmarshal([]byte(r.JSON), &row); err != nil {
					t.Fatalf("%s: %v", r.JSON, err)
				}
				for _, secret := range []string{"password_hash", "secret_hash", "token_hash"} {
					if _, told := row[secret]; told {
						t.Errorf("%s is exported", secret)
					}
				}
			}
			place = next
		}
		want := map[string]int{"user": 1, "organized_meeting": 1, "participant": 2, "attendee": 1, "key": 1, "command": 1, "audit": 3}
		if !maps.Equal(counts, want) {
			t.Errorf("pages of %d hold %v, want %v", limit, counts, want)
		}
	}
	if records, _, err := i.store.ExportPerson(t.Context(), "nobody@mail.example", app.ExportPlace{}, 10); err != nil || len(records) > 0 {
		t.Errorf("of nobody: %v, %v", records, err)
	}
	if !slices.Contains(app.PersonKinds[:], "transcript_entry") {
		t.Error("what was said is not exported")
	}
}
