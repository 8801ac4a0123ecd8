package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/postgres/db"
)

// claimLock is the advisory lock of whoever makes the first admin.
const claimLock = 0x6d656574_00000003

// loadAccess reads what commands about credentials and persons need.
func loadAccess(ctx context.Context, u *app.Unit, n *app.Needs) []read {
	var reads []read
	a := &n.Access
	if len(a.Keys) > 0 {
		reads = append(reads, func(q *db.Queries) error {
			rows, err := q.LockKeys(ctx, a.Keys)
			for i := range rows {
				k, err := decodeKey(&rows[i])
				if err != nil {
					return err
				}
				u.Keys[k.UID], u.Keys[k.Prefix] = k, k
			}
			return err
		})
	}
	if len(a.Sessions) > 0 {
		reads = append(reads, func(q *db.Queries) error {
			rows, err := q.SessionUsers(ctx, hashes(a.Sessions))
			for _, r := range rows {
				u.Sessions[identity.Hash(r.TokenHash)] = account.ID(r.UserID)
			}
			return err
		})
	}
	if len(a.Links) > 0 {
		reads = append(reads, func(q *db.Queries) error {
			_, err := q.LockAdminClaim(ctx, claimLock)
			return err
		}, func(q *db.Queries) (err error) {
			u.HasAdmin, err = q.HasAdmin(ctx)
			return err
		}, func(q *db.Queries) error {
			newest, err := q.NewestLink(ctx, u.Now)
			for _, at := range newest {
				u.OfferedAt = at.UTC()
			}
			return err
		}, func(q *db.Queries) error {
			rows, err := q.LockLinks(ctx, hashes(a.Links))
			for _, r := range rows {
				h := identity.Hash(r.TokenHash)
				u.Links[h] = &identity.Link{Hash: h, ExpiresAt: r.ExpiresAt.UTC(), UsedAt: value(r.UsedAt)}
			}
			return err
		})
	}
	persons := slices.Clone(a.Persons)
	slices.Sort(persons)
	for _, key := range slices.Compact(persons) {
		reads = append(reads, loadPerson(ctx, u, key)...)
	}
	return reads
}

func hashes(in []identity.Hash) [][]byte {
	out := make([][]byte, 0, len(in))
	for _, h := range in {
		out = append(out, h[:])
	}
	return out
}

// saveAccess writes what was made of credentials and persons.
func saveAccess(ctx context.Context, q *db.Queries, u *app.Unit) error {
	for _, k := range u.NewKeys {
		uid, err := uuid.Parse(k.UID)
		if err != nil {
			return fmt.Errorf("uid of key %s: %w", k.Prefix, err)
		}
		if err := q.InsertKey(ctx, db.InsertKeyParams{
			Uid: uid, Name: k.Name, Prefix: k.Prefix, SecretHash: k.Hash[:], Mode: k.Mode, Role: k.Role.String(), UserID: int64(k.UserID),
			Scopes: strings.Join(k.Scopes, " "), CreatedBy: k.CreatedBy, CreatedAt: k.CreatedAt, ExpiresAt: orNull(k.ExpiresAt),
		}); err != nil {
			return err
		}
	}
	for _, uid := range slices.Sorted(maps.Keys(u.DirtyKeys)) {
		k := u.DirtyKeys[uid]
		p := db.UpdateKeyParams{ExpiresAt: orNull(k.ExpiresAt), RevokedAt: orNull(k.RevokedAt)}
		var err error
		if p.Uid, err = uuid.Parse(k.UID); err != nil {
			return fmt.Errorf("uid of key %s: %w", k.Prefix, err)
		}
		if k.RotatedTo != "" {
			next, err := uuid.Parse(k.RotatedTo)
			if err != nil {
				return fmt.Errorf("uid of the key after %s: %w", k.Prefix, err)
			}
			p.RotatedTo = &next
		}
		if err := q.UpdateKey(ctx, p); err != nil {
			return err
		}
	}
	for _, s := range u.NewSessions {
		if err := q.InsertSession(ctx, db.InsertSessionParams{
			TokenHash: s.Hash[:], UserID: int64(s.UserID), CreatedAt: s.CreatedAt, ExpiresAt: s.ExpiresAt, IdleSeconds: int64(s.Idle / time.Second),
			RemoteAddr: s.RemoteAddr, UserAgent: s.UserAgent,
		}); err != nil {
			return err
		}
	}
	if len(u.EndSessions) > 0 {
		if err := q.DeleteSessions(ctx, hashes(u.EndSessions)); err != nil {
			return err
		}
	}
	if len(u.EndSessionsOf) > 0 {
		if err := q.DeleteSessionsOfUsers(ctx, ids(u.EndSessionsOf)); err != nil {
			return err
		}
	}
	for _, l := range u.NewLinks {
		if err := errors.Join(q.ExpireLinks(ctx, u.Now), q.InsertLink(ctx, db.InsertLinkParams{TokenHash: l.Hash[:], CreatedAt: u.Now, ExpiresAt: l.ExpiresAt})); err != nil {
			return err
		}
	}
	for _, l := range u.Links {
		if l.UsedAt.Equal(u.Now) {
			if err := q.UseLink(ctx, db.UseLinkParams{TokenHash: l.Hash[:], Now: &u.Now}); err != nil {
				return err
			}
		}
	}
	return errors.Join(saveErasures(ctx, q, u), saveAudit(ctx, q, u))
}

func orNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}

func decodeKey(r *db.ApiKey) (*identity.Key, error) {
	role, err := account.ParseRole(r.Role)
	if err != nil {
		return nil, fmt.Errorf("key %s: %w", r.Prefix, err)
	}
	if len(r.SecretHash) != len(identity.Hash{}) {
		return nil, fmt.Errorf("key %s: its hash has %d bytes", r.Prefix, len(r.SecretHash))
	}
	k := &identity.Key{
		UID: r.Uid.String(), Name: r.Name, Prefix: r.Prefix, Hash: identity.Hash(r.SecretHash), Mode: r.Mode, Role: role, Scopes: strings.Fields(r.Scopes),
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt.UTC(), ExpiresAt: value(r.ExpiresAt), RevokedAt: value(r.RevokedAt), LastUsedAt: value(r.LastUsedAt),
	}
	if r.UserID != nil {
		k.UserID = account.ID(*r.UserID)
	}
	if r.RotatedTo != nil {
		k.RotatedTo = r.RotatedTo.String()
	}
	return k, nil
}

// touchEvery is how exact the times of last use are.
const touchEvery = time.Minute

// KeyByPrefix is [app.Credentials].
func (s *Store) KeyByPrefix(ctx context.Context, prefix string) (*identity.Key, bool, error) {
	if unheard(prefix) {
		return nil, false, identity.ErrKeyUnknown
	}
	r, err := s.hot().KeyByPrefix(ctx, prefix)
	if err != nil {
		return nil, false, absent(err, identity.ErrKeyUnknown, "read a key")
	}
	k, err := decodeKey(&db.ApiKey{
		ID: r.ID, Uid: r.Uid, Name: r.Name, Prefix: r.Prefix, SecretHash: r.SecretHash, Mode: r.Mode, Role: r.Role, UserID: r.UserID, Scopes: r.Scopes,
		CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt, ExpiresAt: r.ExpiresAt, RevokedAt: r.RevokedAt, RotatedTo: r.RotatedTo, LastUsedAt: r.LastUsedAt,
	})
	if err != nil {
		return nil, false, err
	}
	return k, r.UserActive, nil
}

// KeyUsed is [app.Credentials].
func (s *Store) KeyUsed(ctx context.Context, k *identity.Key, now time.Time) error {
	if now.Sub(k.LastUsedAt) < touchEvery {
		return nil
	}
	if err := s.hot().TouchKey(ctx, db.TouchKeyParams{Prefix: k.Prefix, Now: now, Before: now.Add(-touchEvery)}); err != nil {
		return fmt.Errorf("note the use of key %s: %w", k.Prefix, err)
	}
	return nil
}

// SessionByHash is [app.Credentials].
func (s *Store) SessionByHash(ctx context.Context, h identity.Hash) (*identity.Session, *account.User, error) {
	r, err := s.hot().SessionByHash(ctx, h[:])
	if err != nil {
		return nil, nil, absent(err, identity.ErrSessionUnknown, "read a session")
	}
	user, err := decodeUser(&r.User)
	if err != nil {
		return nil, nil, err
	}
	return &identity.Session{
		Hash: h, UserID: user.ID, CreatedAt: r.CreatedAt.UTC(), SeenAt: r.SeenAt.UTC(), ExpiresAt: r.ExpiresAt.UTC(), Idle: time.Duration(r.IdleSeconds) * time.Second,
	}, user, nil
}

// SessionUsed is [app.Credentials].
func (s *Store) SessionUsed(ctx context.Context, session *identity.Session, now time.Time) error {
	if now.Sub(session.SeenAt) < touchEvery {
		return nil
	}
	if err := s.hot().TouchSession(ctx, db.TouchSessionParams{TokenHash: session.Hash[:], Now: now, Before: now.Add(-touchEvery)}); err != nil {
		return fmt.Errorf("note the use of a session: %w", err)
	}
	return nil
}

// UserByLogin is [app.Credentials].
func (s *Store) UserByLogin(ctx context.Context, login string) (*account.User, error) {
	if unheard(login) {
		return nil, account.ErrNotFound
	}
	rows, err := s.hot().UserByLogin(ctx, db.UserByLoginParams{Login: login, EmailKey: account.EmailKey(login)})
	if err != nil {
		return nil, fmt.Errorf("find a user by login: %w", err)
	}
	if len(rows) == 0 {
		return nil, account.ErrNotFound
	}
	return decodeUser(&rows[0])
}

// Key is [app.Credentials].
func (s *Store) Key(ctx context.Context, name string) (*identity.Key, error) {
	if unheard(name) {
		return nil, identity.ErrKeyNotFound
	}
	r, err := s.hot().GetKey(ctx, name)
	if err != nil {
		return nil, absent(err, identity.ErrKeyNotFound, "read a key")
	}
	return decodeKey(&r)
}

// ListKeys is [app.Credentials].
func (s *Store) ListKeys(ctx context.Context, f app.KeyFilter) ([]*identity.Key, []int64, error) {
	rows, err := s.wide().ListKeys(ctx, db.ListKeysParams{BeforeID: f.After, UserID: int64(f.UserID), IncludeEnded: f.Ended, Now: f.Now, RowLimit: int64(f.Limit)})
	if err != nil {
		return nil, nil, fmt.Errorf("list keys: %w", err)
	}
	var keys []*identity.Key
	var numbers []int64
	for i := range rows {
		k, err := decodeKey(&rows[i])
		if err != nil {
			return nil, nil, err
		}
		keys, numbers = append(keys, k), append(numbers, rows[i].ID)
	}
	return keys, numbers, nil
}

// owns reads one of the questions whose it is.
func owns(is bool, err error) (bool, error) {
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, fmt.Errorf("ask whose it is: %w", err)
	}
	return is, nil
}

// OwnsMeeting is [app.Owners].
func (s *Store) OwnsMeeting(ctx context.Context, ref meeting.Ref, user account.ID) (bool, error) {
	if ref.UID == "" {
		return owns(s.hot().OwnsMeeting(ctx, db.OwnsMeetingParams{ID: int64(ref.ID), OrganizerID: int64(user)}))
	}
	uid, err := uuid.Parse(ref.UID)
	if err != nil {
		return false, nil //nolint:nilerr // no meeting is called that
	}
	return owns(s.hot().OwnsMeetingByUID(ctx, db.OwnsMeetingByUIDParams{Uid: uid, OrganizerID: int64(user)}))
}

// OwnsParticipant is [app.Owners].
func (s *Store) OwnsParticipant(ctx context.Context, id int64, user account.ID) (bool, error) {
	return owns(s.hot().OwnsParticipant(ctx, db.OwnsParticipantParams{ID: id, OrganizerID: int64(user)}))
}

// OwnsRecording is [app.Owners].
func (s *Store) OwnsRecording(ctx context.Context, id int64, user account.ID) (bool, error) {
	return owns(s.hot().OwnsRecording(ctx, db.OwnsRecordingParams{ID: id, OrganizerID: int64(user)}))
}

// OwnsOperation is [app.Owners].
func (s *Store) OwnsOperation(ctx context.Context, id uuid.UUID, user account.ID) (bool, error) {
	return owns(s.hot().OwnsOperation(ctx, db.OwnsOperationParams{ID: id, OrganizerID: int64(user)}))
}

// OwnsJob is [app.Owners].
func (s *Store) OwnsJob(ctx context.Context, id uuid.UUID, user account.ID) (bool, error) {
	return owns(s.hot().OwnsJob(ctx, db.OwnsJobParams{ID: id, OrganizerID: int64(user)}))
}
