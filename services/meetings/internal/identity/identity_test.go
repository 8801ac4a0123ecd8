package identity_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
)

var now = time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)

func key() identity.Key {
	return identity.Key{UID: "u1", Name: "clinic", Prefix: "mm_live_7Kq2mXa9", Mode: "live", Role: account.Service, Scopes: []string{"meetings:read"}, CreatedAt: now}
}

func reason(err error) string {
	var f *fault.Fault
	if !errors.As(err, &f) {
		return ""
	}
	if len(f.Fields) > 0 {
		var all []string
		for _, field := range f.Fields {
			all = append(all, field.Path+" "+field.Reason)
		}
		return strings.Join(all, ", ")
	}
	return f.Reason
}

func TestANewKeyIsCheckedAllAtOnce(t *testing.T) {
	user, gone := &account.User{ID: 3, Active: true}, &account.User{ID: 3}
	for _, c := range []struct {
		name   string
		change func(*identity.Key)
		user   *account.User
		want   string
	}{
		{"right", func(*identity.Key) {}, nil, ""},
		{"of a user", func(k *identity.Key) { k.Role, k.UserID = account.External, 3 }, user, ""},
		{"an external of nobody", func(k *identity.Key) { k.Role = account.External }, nil, "user_id REQUIRED"},
		{"of nobody there", func(k *identity.Key) { k.UserID = 9 }, nil, "user_id UNKNOWN"},
		{"of one who left", func(k *identity.Key) { k.UserID = 3 }, gone, "user_id UNKNOWN"},
		{"no name, no such scope", func(k *identity.Key) { k.Name, k.Scopes = " ", []string{"all"} }, nil, "name REQUIRED, scopes SCOPE"},
		{"a long name", func(k *identity.Key) { k.Name = strings.Repeat("ñ", 101) }, nil, "name MAX_LENGTH"},
		{"a name no row holds", func(k *identity.Key) { k.Name = "a\x00" }, nil, "name CHARACTERS"},
		{"a prefix of the other mode", func(k *identity.Key) { k.Mode = "test" }, nil, "prefix PREFIX"},
		{"a prefix with a space", func(k *identity.Key) { k.Prefix = "mm_live_7Kq 2mXa9" }, nil, "prefix PREFIX"},
		{"a mode", func(k *identity.Key) { k.Mode = "prod" }, nil, "mode ENUM, prefix PREFIX"},
		{"over before it began", func(k *identity.Key) { k.ExpiresAt = now }, nil, "expires_at PAST"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := key()
			c.change(&k)
			if got := reason(k.Check(c.user, now)); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestAKeyEndsToTheMoment(t *testing.T) {
	k := key()
	k.ExpiresAt = now.Add(time.Hour)
	for _, c := range []struct {
		at   time.Time
		want string
	}{{now, ""}, {now.Add(time.Hour - time.Microsecond), ""}, {now.Add(time.Hour), identity.ReasonKeyExpired}} {
		if got := reason(k.Admit(c.at)); got != c.want {
			t.Errorf("at %s: %q, want %q", c.at, got, c.want)
		}
	}
	if !k.Revoke(now) || k.Revoke(now.Add(time.Second)) || !k.RevokedAt.Equal(now) {
		t.Error("a key is revoked once")
	}
	if got := reason(k.Admit(now)); got != identity.ReasonKeyRevoked {
		t.Errorf("revoked: %q", got)
	}
}

func TestARotationOverlaps(t *testing.T) {
	next := identity.Key{UID: "u2", Prefix: "mm_live_next1234"}
	for _, c := range []struct {
		name             string
		expires          time.Time // of the old one
		overlap          time.Duration
		wantOld, wantNew time.Time
	}{
		{"one that never ends", time.Time{}, 24 * time.Hour, now.Add(26 * time.Hour), time.Time{}},
		{"at once", time.Time{}, 0, now.Add(2 * time.Hour), time.Time{}},
		{"as long a life again", now.Add(90 * 24 * time.Hour), time.Hour, now.Add(3 * time.Hour), now.Add(90*24*time.Hour + 2*time.Hour)},
		{"never longer than it had", now.Add(3 * time.Hour), 24 * time.Hour, now.Add(3 * time.Hour), now.Add(5 * time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := key()
			k.ExpiresAt = c.expires
			at := now.Add(2 * time.Hour)
			got, err := k.Rotate(next, c.overlap, time.Time{}, at)
			if err != nil {
				t.Fatal(err)
			}
			if !k.ExpiresAt.Equal(c.wantOld) || !got.ExpiresAt.Equal(c.wantNew) || k.RotatedTo != "u2" {
				t.Errorf("old ends %s, new %s, rotated to %q", k.ExpiresAt, got.ExpiresAt, k.RotatedTo)
			}
			if got.Name != k.Name || got.Role != k.Role || len(got.Scopes) != 1 || got.Prefix != "mm_live_next1234" || !got.CreatedAt.Equal(at) {
				t.Errorf("new one is %+v", got)
			}
			if _, err := k.Rotate(next, 0, time.Time{}, at); reason(err) != identity.ReasonKeyRotated {
				t.Errorf("again: %v", err)
			}
		})
	}
	k := key()
	k.Revoke(now)
	if _, err := k.Rotate(next, 0, time.Time{}, now); reason(err) != identity.ReasonKeyEnded {
		t.Errorf("of one that ended: %v", err)
	}
	k = key()
	if _, err := k.Rotate(next, identity.MaxOverlap+1, time.Time{}, now); reason(err) != "overlap_seconds RANGE" {
		t.Errorf("of too long: %v", err)
	}
}

func TestASessionEndsIdleAndAbsolutely(t *testing.T) {
	s := identity.Session{ExpiresAt: now.Add(8 * time.Hour), SeenAt: now, UserAgent: strings.Repeat("é", 400) + "\xff\x00"}
	if err := s.Check(now); err != nil || s.Idle != identity.DefaultIdle || len(s.UserAgent) > 512 || strings.ContainsAny(s.UserAgent, "\x00\uFFFD") {
		t.Fatalf("%v, %+v", err, s)
	}
	for _, c := range []struct {
		at   time.Time
		want string
	}{{now.Add(30 * time.Minute), ""}, {now.Add(31 * time.Minute), identity.ReasonSessionExpired}} {
		if got := reason(s.Admit(c.at)); got != c.want {
			t.Errorf("idle at %s: %q", c.at, got)
		}
	}
	s.SeenAt = s.ExpiresAt.Add(-time.Minute)
	if got := reason(s.Admit(s.ExpiresAt)); got != identity.ReasonSessionExpired {
		t.Errorf("at its end: %q", got)
	}
	for _, end := range []time.Time{now, now.Add(identity.MaxSession + 1)} {
		if got := reason((&identity.Session{ExpiresAt: end}).Check(now)); got != "expires_at RANGE" {
			t.Errorf("until %s: %q", end, got)
		}
	}
}

func TestALinkWorksOnceAndForADay(t *testing.T) {
	l := &identity.Link{ExpiresAt: now.Add(identity.LinkLife)}
	var none *identity.Link
	old := &identity.Link{ExpiresAt: now}
	for _, bad := range []*identity.Link{none, old} {
		if reason(bad.Use(now)) != identity.ReasonLink {
			t.Errorf("%+v works", bad)
		}
	}
	if err := l.Use(now); err != nil {
		t.Fatal(err)
	}
	if reason(l.Use(now)) != identity.ReasonLink {
		t.Error("works twice")
	}
}
