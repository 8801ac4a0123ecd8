package compat

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// Key is an API key as it is shown.
type Key struct {
	ID         string   `json:"id" format:"uuid"`
	Name       string   `json:"name"`
	Prefix     string   `json:"prefix" doc:"What the key begins with; it names the key in the audit log." example:"mm_live_7Kq2mXa9"`
	Mode       string   `json:"mode" enum:"live,test"`
	Role       string   `json:"role" enum:"admin,service,external"`
	User       *int64   `json:"user" doc:"Whose meetings it sees where its role is external."`
	Scopes     []string `json:"scopes" nullable:"false" doc:"What of its role it may do; empty: all."`
	State      string   `json:"state" enum:"active,expired,revoked"`
	CreatedBy  string   `json:"created_by" doc:"The principal that made it."`
	CreatedAt  string   `json:"created_at" format:"date-time"`
	ExpiresAt  *string  `json:"expires_at" format:"date-time" doc:"Null: never."`
	RevokedAt  *string  `json:"revoked_at" format:"date-time"`
	RotatedTo  *string  `json:"rotated_to" doc:"The id of the key that took its place."`
	LastUsedAt *string  `json:"last_used_at" format:"date-time" doc:"To the minute; null: never."`
}

// NewKey is a key with its secret.
type NewKey struct {
	Key
	Secret *string `json:"secret" doc:"The whole key. It is shown in this answer and never again; null in the answer to a repeat."`
}

// maxKeyName is the longest name of a key that a path has.
const maxKeyName = 64

func keyOfProto(k *meetv1.ApiKey) Key {
	role, _ := roleName(k.GetRole())
	return Key{
		ID: k.GetUid(), Name: k.GetName(), Prefix: k.GetPrefix(), Mode: k.GetMode(), Role: role, User: optionalID(k.GetUserId()), Scopes: list(k.GetScopes()),
		State: k.GetState(), CreatedBy: k.GetCreatedBy(), CreatedAt: timeText(k.GetCreatedAt()), ExpiresAt: optionalTime(k.GetExpiresAt()),
		RevokedAt: optionalTime(k.GetRevokedAt()), RotatedTo: optional(k.GetRotatedTo()), LastUsedAt: optionalTime(k.GetLastUsedAt()),
	}
}

func newKeyFields() []field[*meetv1.CreateKeyRequest] {
	type req = *meetv1.CreateKeyRequest
	live := func(r req, mode string) { r.Mode = mode }
	return []field[req]{
		filled("name", "name", "What it is for.", func(r req) *string { return &r.Name }),
		choice("role", "Absent: service.", rolesByName, []string{"admin", "service", "external"}, func(r req, role meetv1.UserRole) { r.Role = role }),
		userField("user", "The user whose meetings an external key sees; required for it.", func(r req, id int64) { r.UserId = id }),
		scopesField("scopes", "What of its role it may do, such as meetings:read; absent or empty: all.", func(r req, scopes []string) { r.Scopes = scopes }),
		when("expires_at", "", "When it ends by itself; absent or null: never.", func(r req, t *timestamppb.Timestamp) { r.ExpiresAt = t }),
		choice("mode", "live, or test for one that is tried out; both do the same, and are told apart at a glance. Absent: live.", map[string]string{"live": "live", "test": "test"}, []string{"live", "test"}, live),
	}
}

func rotateKeyFields() []field[*meetv1.RotateKeyRequest] {
	type req = *meetv1.RotateKeyRequest
	return []field[req]{
		whole("overlap_seconds", "How long the key before it goes on, up to 30 days; absent: a day; 0: it ends at once.", func(r req, n int32) {
			seconds := int64(n)
			r.OverlapSeconds = &seconds
		}),
		when("expires_at", "", "When the new key ends; absent: it lives as long as the one before was given.", func(r req, t *timestamppb.Timestamp) { r.ExpiresAt = t }),
	}
}

// userField is a field with a user's number, or null.
func userField[T any](name, doc string, set func(T, int64)) field[T] {
	f := whole(name, doc, func(dst T, n int32) { set(dst, int64(n)) })
	f.schema.Format = "int64"
	return f
}

// scopesField is a field with a list of scopes.
func scopesField[T any](name, doc string, set func(T, []string)) field[T] {
	names := make([]string, 0, len(access.Scopes()))
	for _, s := range access.Scopes() {
		names = append(names, string(s.Scope))
	}
	return field[T]{
		name: name, doc: doc, schema: huma.Schema{Type: huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString, Enum: anys(names)}},
		read: func(raw json.RawMessage, dst T) []fault.Field {
			if isNull(raw) {
				return bad(null)
			}
			var items []json.RawMessage
			if json.Unmarshal(raw, &items) != nil {
				return bad(notAList, "type", typeName(raw))
			}
			var scopes []string
			var faults []fault.Field
			for i, item := range items {
				s, why := asText(item)
				if why != "" || !access.Known(s) {
					faults = append(faults, wrong("["+strconv.Itoa(i)+"]", invalidChoice, "value", printable(s)))
				} else if !slices.Contains(scopes, s) {
					scopes = append(scopes, s)
				}
			}
			set(dst, scopes)
			return faults
		},
	}
}

func (a *API) keyRoutes() {
	const keys, one = base + "api-keys/", base + "api-keys/{id}/"
	made := []answer{{status: http.StatusCreated, doc: "The key, and its secret this once.", schema: schemaOf[NewKey](a), headers: []string{"Location", "Idempotency-Replayed"}}}
	a.add(route{
		id: "listKeys", method: http.MethodGet, path: keys, tag: tagAccess, summary: "List API keys, newest first",
		params: append([]*huma.Param{
			queryParam("user", "Of this user alone; his number.", idSchema()),
			queryParam("include_ended", "true: also those that are expired or revoked.", &huma.Schema{Type: huma.TypeBoolean}),
		}, pageParams(meetingsPage)...),
		answers: []answer{{status: http.StatusOK, doc: "A page.", schema: listOf[Key](a), headers: []string{"Link"}}},
		serve:   a.listKeys,
	})
	a.add(route{
		id: "createKey", method: http.MethodPost, path: keys, tag: tagAccess, summary: "Make an API key",
		description: "The secret is shown in this answer and kept nowhere.",
		body:        bodySchema(a, "CreateKey", a.newKeys.fields), answers: made, serve: a.createKey,
	})
	a.add(route{
		id: "getKey", method: http.MethodGet, path: one, tag: tagAccess, summary: "Read one API key",
		answers: []answer{{status: http.StatusOK, doc: "The key.", schema: schemaOf[Key](a)}}, serve: a.getKey,
	})
	a.add(route{
		id: "rotateKey", method: http.MethodPost, path: one + "rotate/", tag: tagAccess, summary: "Make a key that takes another's place",
		description: "The new one may do the same; the one before goes on for the overlap, so that clients can change over.",
		body:        bodySchema(a, "RotateKey", a.rotations.fields), optionalBody: true, answers: made, serve: a.rotateKey,
	})
	a.add(route{
		id: "revokeKey", method: http.MethodDelete, path: one, tag: tagAccess, summary: "End an API key",
		description: "It is refused everywhere at once, at the latest after two seconds. Again: the same answer.",
		answers:     []answer{{status: http.StatusOK, doc: "The key as it is now.", schema: schemaOf[Key](a), headers: []string{"Idempotency-Replayed"}}},
		serve:       a.revokeKey,
	})
}

// keyName is the id or prefix in the path.
func (x *exchange) keyName() (string, error) {
	name := x.param("id")
	if len(name) > maxKeyName || checkCharacters(name) != "" {
		return "", refuse(http.StatusNotFound, notFound)
	}
	return name, nil
}

// yes reads a filter that is true or false.
func (f *filters) yes(name string) bool {
	return oneOf(f, name, map[string]bool{"true": true, "1": true, "false": false, "0": false})
}

func (a *API) listKeys(x *exchange) error {
	f, err := x.filters()
	if err != nil {
		return err
	}
	req := &meetv1.ListKeysRequest{
		UserId: f.number("user", maxID), IncludeEnded: f.yes("include_ended"), PageSize: f.page(meetingsPage), PageToken: f.token(),
	}
	if err := f.err(); err != nil {
		return err
	}
	resp, err := backend.Ask(x.r.Context(), a.backend, subject.ListKeys, req)
	if err != nil {
		return err
	}
	x.next(resp.GetNextPageToken())
	x.write(http.StatusOK, each(resp.GetKeys(), keyOfProto))
	return nil
}

func (a *API) getKey(x *exchange) error {
	name, err := x.keyName()
	if err != nil {
		return err
	}
	k, err := backend.Ask(x.r.Context(), a.backend, subject.GetKey, &meetv1.GetKeyRequest{Key: name})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, keyOfProto(k))
	return nil
}

func (a *API) createKey(x *exchange) error {
	o, err := x.body()
	if err != nil {
		return err
	}
	req := new(meetv1.CreateKeyRequest)
	if err := a.newKeys.fill(o, req); err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := a.backend.CreateKey(x.r.Context(), caller, req)
	x.replayed(outcome.Replayed)
	if err != nil {
		return renamed(err, func(path string) string {
			if path == "user_id" {
				return "user"
			}
			return path
		})
	}
	x.newKey(outcome.Response)
	return nil
}

func (a *API) rotateKey(x *exchange) error {
	name, err := x.keyName()
	if err != nil {
		return err
	}
	o, err := x.body()
	if err != nil {
		return err
	}
	req := &meetv1.RotateKeyRequest{Key: name}
	if err := a.rotations.fill(o, req); err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := a.backend.RotateKey(x.r.Context(), caller, req)
	x.replayed(outcome.Replayed)
	if err != nil {
		return err
	}
	x.newKey(outcome.Response)
	return nil
}

func (x *exchange) newKey(made *meetv1.CreateKeyResponse) {
	x.w.Header().Set("Location", base+"api-keys/"+made.GetKey().GetUid()+"/")
	x.w.Header().Set("Cache-Control", "no-store")
	x.write(http.StatusCreated, NewKey{Key: keyOfProto(made.GetKey()), Secret: optional(made.GetSecret())})
}

func (a *API) revokeKey(x *exchange) error {
	name, err := x.keyName()
	if err != nil {
		return err
	}
	caller, err := x.caller()
	if err != nil {
		return err
	}
	outcome, err := command(x, subject.RevokeKey, caller, &meetv1.RevokeKeyRequest{Key: name})
	if err != nil {
		return err
	}
	x.write(http.StatusOK, keyOfProto(outcome.Response.GetKey()))
	return nil
}
