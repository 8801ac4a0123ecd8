package nats

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"google.golang.org/protobuf/proto"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/account"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/app"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/audit"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/identity"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/meeting"
)

// actor is a principal as the use cases know him. A role that no table has a column for may do nothing.
func actor(p bus.Principal) app.Actor {
	a := app.Actor{Role: access.Role(p.Role), UserID: account.ID(p.UserID), Limits: access.ParseLimits(p.Scopes), Credential: p.Mode}
	if p.Mode == "" && p.Role != "" && !a.Role.Outside() {
		a.Credential = "internal"
	}
	return a
}

// permit decides whether a query may be answered; one who reaches only his own has req narrowed to it, or, where it names
// another's, is told that it is not there.
func permit(ctx context.Context, owners app.Owners, method string, req proto.Message) error {
	who := actor(bus.PrincipalOf(ctx))
	reach, err := access.Decide(method, who.Role, who.Limits)
	if err != nil || reach == access.All {
		return err
	}
	if who.UserID == 0 {
		return errForbidden
	}
	return narrow(ctx, owners, who.UserID, req)
}

var errForbidden = fault.New(fault.Forbidden, access.ReasonForbidden, "you may not do this")

// nobodys is an organizer that no meeting has: a list that was asked for another's meetings is empty.
const nobodys = -1

func narrow(ctx context.Context, owners app.Owners, user account.ID, req proto.Message) error {
	only := func(organizer *int64) error {
		if *organizer != 0 && *organizer != int64(user) {
			*organizer = nobodys
			return nil
		}
		*organizer = int64(user)
		return nil
	}
	owned := func(missing *fault.Fault, is bool, err error) error {
		if err == nil && !is {
			return missing
		}
		return err
	}
	meetingOf := func(id string) error {
		ref, err := meeting.ParseRef(id)
		if err != nil {
			return err
		}
		is, err := owners.OwnsMeeting(ctx, ref, user)
		return owned(meeting.ErrNotFound, is, err)
	}
	byUUID := func(missing *fault.Fault, id string, ask func(context.Context, uuid.UUID, account.ID) (bool, error)) error {
		parsed, err := uuid.Parse(id)
		if err != nil {
			return missing
		}
		is, err := ask(ctx, parsed, user)
		return owned(missing, is, err)
	}
	switch r := req.(type) {
	case *meetv1.GetMeetingRequest:
		return meetingOf(r.GetId())
	case *meetv1.GetAttendanceRequest:
		return meetingOf(r.GetMeetingId())
	case *meetv1.GetTranscriptRequest:
		return meetingOf(r.GetMeetingId())
	case *meetv1.LookupMeetingRequest:
		return only(&r.OrganizerId)
	case *meetv1.ListMeetingsRequest:
		return only(&r.OrganizerId)
	case *meetv1.ListParticipantsRequest:
		return only(&r.OrganizerId)
	case *meetv1.ListRecordingsRequest:
		return only(&r.OrganizerId)
	case *meetv1.GetCoverageRequest:
		return only(&r.OrganizerId)
	case *meetv1.ListEventsRequest:
		return only(&r.OrganizerId)
	case *meetv1.ListJobsRequest:
		return only(&r.OrganizerId)
	case *meetv1.GetParticipantRequest:
		is, err := owners.OwnsParticipant(ctx, r.GetId(), user)
		return owned(errNoParticipant, is, err)
	case *meetv1.GetRecordingRequest:
		is, err := owners.OwnsRecording(ctx, r.GetId(), user)
		return owned(errNoRecording, is, err)
	case *meetv1.GetOperationRequest:
		return byUUID(errNoOperation, r.GetId(), owners.OwnsOperation)
	case *meetv1.GetJobRequest:
		return byUUID(errNoJob, r.GetId(), owners.OwnsJob)
	case *meetv1.GetUserRequest:
		return owned(account.ErrNotFound, r.GetId() == int64(user), nil)
	case *meetv1.ListUsersRequest:
		return only(&r.Id)
	case *meetv1.VerifyPasswordRequest:
		return owned(account.ErrNotFound, r.GetUserId() == int64(user), nil)
	}
	return errForbidden // what nobody has said how to narrow is not answered
}

// The faults of what is not there, or is another's.
var (
	errNoParticipant = fault.New(fault.NotFound, "PARTICIPANT_NOT_FOUND", "no such participant")
	errNoRecording   = fault.New(fault.NotFound, "RECORDING_NOT_FOUND", "no such recording")
	errNoOperation   = fault.New(fault.NotFound, "OPERATION_NOT_FOUND", "no such operation; they are kept for 24 hours")
	errNoJob         = fault.New(fault.NotFound, "JOB_NOT_FOUND", "no such job")
)

// decodeAccess turns bodies about credentials, the audit log and persons into what is to be done.
func decodeAccess(subj string, body []byte) (do app.UseCase, err error) {
	hashed := func(path, text string, use func(identity.Hash) app.UseCase) app.UseCase {
		h, err := identity.ParseHash(path, text)
		if err != nil {
			return refuse{err}
		}
		return use(h)
	}
	switch subj {
	case string(subject.CreateKey):
		req := new(meetv1.StoreKeyRequest)
		err = decode(body, req)
		return hashed("secret_hash", req.GetSecretHash(), func(h identity.Hash) app.UseCase {
			k := req.GetKey()
			role := in(roleOut, k.GetRole())
			if role == 0 {
				role = account.Service
			}
			mode := k.GetMode()
			if mode == "" {
				mode = "live"
			}
			return &app.CreateKey{Key: identity.Key{
				Name: k.GetName(), Prefix: req.GetPrefix(), Hash: h, Mode: mode, Role: role, UserID: account.ID(k.GetUserId()), Scopes: k.GetScopes(),
				ExpiresAt: moment(k.GetExpiresAt()),
			}}
		}), err
	case string(subject.RotateKey):
		req := new(meetv1.StoreRotatedKeyRequest)
		err = decode(body, req)
		return hashed("secret_hash", req.GetSecretHash(), func(h identity.Hash) app.UseCase {
			overlap := identity.DefaultOverlap
			if req.GetKey().OverlapSeconds != nil {
				seconds := req.GetKey().GetOverlapSeconds()
				if seconds < 0 || seconds > int64(identity.MaxOverlap/time.Second) {
					return refuse{fault.InvalidField("overlap_seconds", "RANGE", "must be from 0 to 30 days")}
				}
				overlap = time.Duration(seconds) * time.Second
			}
			return &app.RotateKey{
				Key: req.GetKey().GetKey(), Successor: identity.Key{Prefix: req.GetPrefix(), Hash: h}, Overlap: overlap, ExpiresAt: moment(req.GetKey().GetExpiresAt()),
			}
		}), err
	case string(subject.RevokeKey):
		req := new(meetv1.RevokeKeyRequest)
		err = decode(body, req)
		return &app.RevokeKey{Key: req.GetKey()}, err
	case string(subject.OpenSession):
		req := new(meetv1.OpenSessionRequest)
		err = decode(body, req)
		return hashed("token_hash", req.GetTokenHash(), func(h identity.Hash) app.UseCase {
			return &app.OpenSession{Session: identity.Session{
				Hash: h, UserID: account.ID(req.GetUserId()), ExpiresAt: moment(req.GetExpiresAt()), UserAgent: req.GetUserAgent(), RemoteAddr: req.GetRemoteAddr(),
				Idle: time.Duration(min(max(req.GetIdleSeconds(), 0), int64(identity.MaxSession/time.Second))) * time.Second,
			}}
		}), err
	case string(subject.CloseSession):
		req := new(meetv1.CloseSessionRequest)
		err = decode(body, req)
		return hashed("token_hash", req.GetTokenHash(), func(h identity.Hash) app.UseCase { return &app.CloseSession{Hash: h} }), err
	case string(subject.OfferAdmin):
		req := new(meetv1.OfferAdminRequest)
		err = decode(body, req)
		return hashed("token_hash", req.GetTokenHash(), func(h identity.Hash) app.UseCase { return &app.OfferAdmin{Hash: h} }), err
	case string(subject.ClaimAdmin):
		req := new(meetv1.ClaimAdminRequest)
		err = decode(body, req)
		return hashed("token_hash", req.GetTokenHash(), func(h identity.Hash) app.UseCase {
			return &app.ClaimAdmin{Hash: h, User: app.CreateUser{Username: req.GetUsername(), Email: req.GetEmail(), PasswordHash: req.GetPasswordHash()}}
		}), err
	case string(subject.RecordAudit):
		req := new(meetv1.RecordAuditRequest)
		err = decode(body, req)
		do := new(app.RecordAudit)
		for _, a := range req.GetAttempts() {
			do.Entries = append(do.Entries, audit.Entry{
				At: moment(a.GetAt()), Principal: whole(a.GetPrincipal()), Credential: whole(a.GetCredential()), Action: whole(a.GetAction()),
				RequestID: whole(a.GetRequestId()), RemoteAddr: whole(a.GetRemoteAddr()), Reason: whole(a.GetReason()), Count: a.GetCount(),
			})
		}
		return do, err
	case string(subject.ErasePerson):
		req := new(meetv1.ErasePersonRequest)
		err = decode(body, req)
		if strings.ContainsRune(req.GetEmail(), 0) {
			return refuse{fault.InvalidField("email", "EMAIL", "must be an email address")}, err
		}
		return &app.ErasePerson{Email: req.GetEmail(), Reason: req.GetReason()}, err
	}
	return nil, fmt.Errorf("no handler for %s", subj)
}

// longest bounds one text of an audit entry, in bytes.
const longest = 512

// whole makes a text that somebody outside may have had a hand in fit for a row.
func whole(s string) string {
	if len(s) > longest {
		s = s[:longest]
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// Own is [app.Owned]: what the wire refused is refused to everybody.
func (refuse) Own(*app.Unit, account.ID) error { return nil }

// encodeAccess is the response of a command about credentials, the audit log or persons; nil for any other.
func encodeAccess(c *app.Command, r app.Result) proto.Message {
	switch c.Do.(type) {
	case *app.CreateKey, *app.RotateKey, *app.RevokeKey:
		answer := r.Answer.(app.KeyAnswer)
		return &meetv1.StoreKeyResponse{Key: encodeKey(answer.Key, answer.At)}
	case *app.OpenSession:
		return &meetv1.OpenSessionResponse{User: encodeUser(r.Answer.(*account.User))}
	case *app.CloseSession:
		return &meetv1.CloseSessionResponse{}
	case *app.OfferAdmin:
		until := r.Answer.(app.Offered).Until
		return &meetv1.OfferAdminResponse{Offered: !until.IsZero(), ExpiresAt: stamp(until)}
	case *app.ClaimAdmin:
		return &meetv1.UserResponse{User: encodeUser(r.User)}
	case *app.RecordAudit:
		return &meetv1.RecordAuditResponse{}
	case *app.ErasePerson:
		erased := r.Answer.(*app.Erased)
		return &meetv1.ErasePersonResponse{Pseudonym: erased.Pseudonym, Rows: erased.Rows}
	}
	return nil
}

func encodeKey(k *identity.Key, now time.Time) *meetv1.ApiKey {
	return &meetv1.ApiKey{
		Uid: k.UID, Name: k.Name, Prefix: k.Prefix, Mode: k.Mode, Role: roleOut[k.Role], UserId: int64(k.UserID), Scopes: k.Scopes, CreatedBy: k.CreatedBy,
		CreatedAt: stamp(k.CreatedAt), ExpiresAt: stamp(k.ExpiresAt), RevokedAt: stamp(k.RevokedAt), RotatedTo: k.RotatedTo, LastUsedAt: stamp(k.LastUsedAt),
		State: k.State(now),
	}
}

// AccessQueries answers who calls, and what keys, audit entries and data of persons there are.
type AccessQueries struct {
	auth *app.Authenticator
	keys app.Credentials
	log  app.AuditLog
	now  func() time.Time
}

// NewAccessQueries makes the answerer.
func NewAccessQueries(auth *app.Authenticator, keys app.Credentials, log app.AuditLog, now func() time.Time) *AccessQueries {
	return &AccessQueries{auth: auth, keys: keys, log: log, now: now}
}

// serve registers the handlers.
func (a *AccessQueries) serve(q *Queries, s *bus.Queries) error {
	return errors.Join(
		answer(q, s, subject.Authenticate, a.authenticate),
		answer(q, s, subject.CheckLogin, a.checkLogin),
		answer(q, s, subject.GetKey, a.getKey),
		answer(q, s, subject.ListKeys, a.listKeys),
		answer(q, s, subject.ListAudit, a.listAudit),
		answer(q, s, subject.VerifyAudit, a.verifyAudit),
		answer(q, s, subject.ExportPerson, a.exportPerson),
	)
}

func (a *AccessQueries) authenticate(ctx context.Context, req *meetv1.AuthenticateRequest) (*meetv1.AuthenticateResponse, error) {
	var c app.Caller
	switch {
	case req.GetSessionHash() != "":
		h, err := identity.ParseHash("session_hash", req.GetSessionHash())
		if err != nil {
			return nil, err
		}
		if c, err = a.auth.Session(ctx, h); err != nil {
			return nil, err
		}
	default:
		h, err := identity.ParseHash("key_hash", req.GetKeyHash())
		if err != nil {
			return nil, err
		}
		if c, err = a.auth.Key(ctx, req.GetKeyPrefix(), h); err != nil {
			return nil, err
		}
	}
	out := &meetv1.AuthenticateResponse{
		Principal: c.Principal, Role: roleOut[c.Role], UserId: int64(c.UserID), Scopes: c.Scopes, KeyUid: c.KeyUID, Mode: c.Mode, ExpiresAt: stamp(c.ExpiresAt),
	}
	if c.User != nil {
		out.User = encodeUser(c.User)
	}
	return out, nil
}

func (a *AccessQueries) checkLogin(ctx context.Context, req *meetv1.CheckLoginRequest) (*meetv1.CheckLoginResponse, error) {
	user, ok, err := a.auth.Login(ctx, req.GetLogin(), req.GetPassword())
	if err != nil || !ok {
		return &meetv1.CheckLoginResponse{}, err
	}
	return &meetv1.CheckLoginResponse{Ok: true, User: encodeUser(user)}, nil
}

func (a *AccessQueries) getKey(ctx context.Context, req *meetv1.GetKeyRequest) (*meetv1.ApiKey, error) {
	k, err := a.keys.Key(ctx, req.GetKey())
	if err != nil {
		return nil, err
	}
	return encodeKey(k, a.now()), nil
}

func (a *AccessQueries) listKeys(ctx context.Context, req *meetv1.ListKeysRequest) (*meetv1.ListKeysResponse, error) {
	p, err := page(req.GetPageSize(), meetingPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	now := a.now()
	keys, numbers, err := a.keys.ListKeys(ctx, app.KeyFilter{
		Page: app.Page{After: p.After, Limit: p.Limit + 1}, UserID: account.ID(req.GetUserId()), Ended: req.GetIncludeEnded(), Now: now,
	})
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListKeysResponse)
	if len(keys) > p.Limit {
		keys = keys[:p.Limit]
		resp.NextPageToken = token(numbers[p.Limit-1])
	}
	for _, k := range keys {
		resp.Keys = append(resp.Keys, encodeKey(k, now))
	}
	return resp, nil
}

func (a *AccessQueries) listAudit(ctx context.Context, req *meetv1.ListAuditRequest) (*meetv1.ListAuditResponse, error) {
	p, err := page(req.GetPageSize(), meetingPage, req.GetPageToken())
	if err != nil {
		return nil, err
	}
	rows, err := a.log.ListAudit(ctx, app.AuditFilter{
		Page: app.Page{After: p.After, Limit: p.Limit + 1}, Ascending: req.GetAscending(), From: moment(req.GetFrom()), To: moment(req.GetTo()),
		Principal: req.GetPrincipal(), Action: req.GetAction(), SubjectKind: req.GetSubjectKind(), SubjectID: req.GetSubjectId(), Outcome: req.GetOutcome(),
		Email: req.GetEmail(), RequestID: req.GetRequestId(),
	})
	if err != nil {
		return nil, err
	}
	resp := new(meetv1.ListAuditResponse)
	rows, resp.NextPageToken = cut(rows, p.Limit, func(s *audit.Stored) int64 { return s.Seq })
	for i := range rows {
		e, err := encodeEntry(&rows[i])
		if err != nil {
			return nil, err
		}
		resp.Entries = append(resp.Entries, e)
	}
	return resp, nil
}

func encodeEntry(s *audit.Stored) (*meetv1.AuditEntry, error) {
	e, err := audit.ParseLine(s.Line)
	if err != nil {
		return nil, fmt.Errorf("audit entry %d: %w", s.Seq, err)
	}
	before, err1 := e.Before.JSON()
	after, err2 := e.After.JSON()
	if err := errors.Join(err1, err2); err != nil {
		return nil, fmt.Errorf("audit entry %d: %w", s.Seq, err)
	}
	return &meetv1.AuditEntry{
		Sequence: s.Seq, At: stamp(e.At), Principal: e.Principal, Role: e.Role, Credential: e.Credential, Action: e.Action, SubjectKind: e.SubjectKind,
		SubjectId: e.SubjectID, RequestId: e.RequestID, RemoteAddr: e.RemoteAddr, Outcome: string(e.Outcome), Reason: e.Reason, BeforeJson: before,
		AfterJson: after, Count: max(e.Count, 1), PreviousHash: s.Previous.String(), Hash: s.Hash.String(), Line: s.Line,
	}, nil
}

// The most entries that one call checks, and how many when the caller did not say.
const (
	maxVerify     = 20000
	defaultVerify = 10000
)

func (a *AccessQueries) verifyAudit(ctx context.Context, req *meetv1.VerifyAuditRequest) (*meetv1.VerifyAuditResponse, error) {
	from := app.AuditAnchor{Seq: req.GetAfterSequence()}
	if text := req.GetAfterHash(); text != "" {
		h, err := audit.ParseHash(text)
		if err != nil {
			return nil, fault.InvalidField("after_hash", "HASH", "must be a SHA-256 in hexadecimal")
		}
		from.Hash, from.Known = h, true
	}
	limit := int(req.GetLimit())
	if limit == 0 {
		limit = defaultVerify
	}
	if limit < 0 || limit > maxVerify || from.Seq < 0 {
		return nil, fault.InvalidField("limit", "RANGE", "must be from 1 to 20000")
	}
	r, err := a.log.VerifyAudit(ctx, from, limit)
	if err != nil {
		return nil, err
	}
	out := &meetv1.VerifyAuditResponse{Checked: r.Checked, LastSequence: r.Last.Seq, LastHash: r.Last.Hash.String(), Done: r.Done}
	if r.Bad != nil {
		out.BadSequence, out.BadReason, out.BadText = r.Bad.Seq, r.Bad.Reason, r.Bad.Text
	}
	return out, nil
}

// exportPage is how many rows of a person one answer holds; a transcript's entries are long.
const exportPage = 100

func (a *AccessQueries) exportPerson(ctx context.Context, req *meetv1.ExportPersonRequest) (*meetv1.ExportPersonResponse, error) {
	place, err := parsePlace(req.GetPageToken())
	if err != nil {
		return nil, err
	}
	if at := strings.LastIndexByte(req.GetEmail(), '@'); at <= 0 || at == len(req.GetEmail())-1 {
		return nil, fault.InvalidField("email", "EMAIL", "must be an email address")
	}
	if req.GetPageToken() == "" { // the first page: that it was looked at belongs on record
		if err := a.exported(ctx, req.GetEmail()); err != nil {
			return nil, err
		}
	}
	resp := new(meetv1.ExportPersonResponse)
	for place.Kind < len(app.PersonKinds) && len(resp.GetRecords()) < exportPage {
		var records []app.PersonRecord
		if records, place, err = a.log.ExportPerson(ctx, req.GetEmail(), place, exportPage-len(resp.GetRecords())); err != nil {
			return nil, err
		}
		for _, r := range records {
			resp.Records = append(resp.Records, &meetv1.PersonRecord{Kind: r.Kind, Json: r.JSON})
		}
	}
	if place.Kind < len(app.PersonKinds) {
		resp.NextPageToken = base64.RawURLEncoding.EncodeToString([]byte("person:" + strconv.Itoa(place.Kind) + ":" + place.After))
	}
	return resp, nil
}

func parsePlace(text string) (app.ExportPlace, error) {
	if text == "" {
		return app.ExportPlace{}, nil
	}
	wrong := fault.InvalidField("page_token", "TOKEN", "is not a token of this list; begin without one")
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return app.ExportPlace{}, wrong
	}
	rest, ours := strings.CutPrefix(string(raw), "person:")
	kind, after, whole := strings.Cut(rest, ":")
	n, err := strconv.Atoi(kind)
	if !ours || !whole || err != nil || n < 0 || n >= len(app.PersonKinds) {
		return app.ExportPlace{}, wrong
	}
	if after != "" {
		if _, err := strconv.ParseInt(after, 10, 64); err != nil {
			if _, err := uuid.Parse(after); err != nil {
				return app.ExportPlace{}, wrong
			}
		}
	}
	return app.ExportPlace{Kind: n, After: after}, nil
}

func (a *AccessQueries) exported(ctx context.Context, email string) error {
	mask, err := a.log.Mask(ctx)
	if err != nil {
		return err
	}
	e := asked(ctx, subject.ExportPerson.Method(), a.now())
	e.Outcome, e.SubjectKind, e.SubjectID = audit.OK, audit.Person, mask.Person(account.EmailKey(email))
	return a.log.RecordAudit(ctx, e.At, []audit.Entry{e})
}

// asked is the audit entry of a query.
func asked(ctx context.Context, method string, now time.Time) audit.Entry {
	who, origin := bus.PrincipalOf(ctx), bus.OriginOf(ctx)
	return audit.Entry{
		At: now, Principal: who.Name, Role: who.Role, Credential: actor(who).Credential, Action: method, RequestID: origin.RequestID, RemoteAddr: origin.RemoteAddr,
	}
}
