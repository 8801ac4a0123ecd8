package compat

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/alexedwards/argon2id"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

const (
	users      = "/api/v1/users/"
	management = "/api/v1/user-management/"
	doctor     = `{"id":1,"username":"doctor","email":"doctor@clinic.example","first_name":"Ana","last_name":"Ruiz","full_name":"Ana Ruiz","role":"external","role_display":"External User","is_active":true,"date_joined":"2026-11-01T08:00:00Z"}`
)

type userAnswer = backendtest.Answer[*meetv1.UserResponse]

var somebody = bus.Principal{Name: "user:doctor", Role: "external", UserID: 1}

// scriptUser lets user 1 be found, inactive or not, and no other.
func scriptUser(s *rest, active bool) {
	backendtest.Query(s.meetings, subject.GetUser, func(req *meetv1.GetUserRequest) (*meetv1.User, error) {
		u := aUser()
		u.IsActive = active
		if req.GetId() != 1 || !active && !req.GetIncludeInactive() {
			return nil, fault.New(fault.NotFound, "USER_NOT_FOUND", "no such user")
		}
		return u, nil
	})
}

func TestUsersAreListedCountedAndRead(t *testing.T) {
	s := newREST(t)
	scriptUser(s, true)
	asked := make(chan *meetv1.ListUsersRequest, 2)
	backendtest.Query(s.meetings, subject.ListUsers, func(req *meetv1.ListUsersRequest) (*meetv1.ListUsersResponse, error) {
		asked <- req
		return &meetv1.ListUsersResponse{Users: []*meetv1.User{aUser()}, NextPageToken: "t"}, nil
	})
	backendtest.Query(s.meetings, subject.GetUserStats, func(*meetv1.GetUserStatsRequest) (*meetv1.UserStats, error) {
		return &meetv1.UserStats{TotalUsers: 7, ActiveUsers: 6, InactiveUsers: 1, Admins: 1, Services: 2, Externals: 3}, nil
	})
	s.do("GET", users+"?role=external&email=CLINIC&username=doc", "").is(200, "["+doctor+"]").
		has("Link", `</api/v1/users/?email=CLINIC&page_token=t&role=external&username=doc>; rel="next"`)
	s.do("GET", management, "").is(200, "["+doctor+"]")
	for _, want := range []*meetv1.ListUsersRequest{
		{PageSize: 1000, Role: meetv1.UserRole_USER_ROLE_EXTERNAL, EmailContains: "CLINIC", UsernameContains: "doc"},
		{PageSize: 1000, IncludeInactive: true},
	} {
		if got := <-asked; !proto.Equal(got, want) {
			t.Errorf("asked for %v, want %v", got, want)
		}
	}
	s.do("GET", users+"1/", "").is(200, doctor)
	s.do("GET", management+"1/", "").is(200, doctor)
	s.do("GET", users+"2/", "").is(404, `{"detail":"No encontrado."}`)
	s.do("GET", users+"stats/", "").is(200, `{"total_users":7,"active_users":6,"inactive_users":1,"by_role":{"admin":1,"service":2,"external":3}}`)
}

func TestNobodyIsLoggedInInOpenMode(t *testing.T) {
	s := newREST(t)
	scriptUser(s, true)
	s.do("GET", users+"me/", "").is(401, `{"message":"No hay un usuario autenticado."}`).has("WWW-Authenticate", `Bearer realm="meet-middleware"`)
	s.do("GET", users+"me/", "", "Accept-Language", "en").is(401, `{"message":"Nobody is logged in."}`)
	s.do("POST", management+"change-password/", `{}`).is(401, `{"detail":"Las credenciales de autenticación no se proveyeron."}`).has("WWW-Authenticate", `Bearer realm="meet-middleware"`)
	s.as(somebody).do("GET", users+"me/", "").is(200, doctor)
}

func TestNobodyIsLoggedInWithoutCredentialsEither(t *testing.T) {
	s := newREST(t)
	for path, body := range map[string]string{
		users + "me/": `{"message":"No hay un usuario autenticado."}`,
		users:         `{"detail":"Las credenciales de autenticación no se proveyeron."}`,
	} {
		w := httptest.NewRecorder()
		s.api.Refuse(w, httptest.NewRequestWithContext(t.Context(), "GET", path, nil), fault.New(fault.Unauthenticated, auth.ReasonUnauthenticated, "no credentials"))
		if w.Code != 401 || w.Body.String() != body || w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

func TestADeactivatedUserIsNobody(t *testing.T) {
	s := newREST(t)
	scriptUser(s, false)
	s.as(somebody).do("GET", users+"me/", "").is(401, `{"message":"No hay un usuario autenticado."}`)
}

func TestParticipantsOfAllMeetings(t *testing.T) {
	s := newREST(t)
	backendtest.Query(s.meetings, subject.ListParticipants, func(req *meetv1.ListParticipantsRequest) (*meetv1.ListParticipantsResponse, error) {
		if req.GetMeetingId() != 12 {
			return &meetv1.ListParticipantsResponse{}, nil
		}
		return &meetv1.ListParticipantsResponse{Participants: someParticipants()[1:]}, nil
	})
	backendtest.Query(s.meetings, subject.GetParticipant, func(*meetv1.GetParticipantRequest) (*meetv1.Participant, error) {
		return someParticipants()[1], nil
	})
	const guest = `{"id":2,"meeting":12,"email":"p@mail.example","role":"guest","role_display":"Guest","created_at":"2026-11-24T12:00:00Z","response_status":null,"joined_at":null,"left_at":null}`
	s.do("GET", "/api/v1/participants/", "").is(200, `[]`)
	s.do("GET", "/api/v1/participants/?meeting=12", "").is(200, "["+guest+"]")
	s.do("GET", "/api/v1/participants/2/", "").is(200, guest)
}

func TestUserManagementIsForAdmins(t *testing.T) {
	s := newREST(t).as(somebody)
	for _, c := range [][2]string{
		{"GET", ""}, {"POST", ""}, {"GET", "1/"}, {"PUT", "1/"}, {"PATCH", "1/"}, {"DELETE", "1/"}, {"POST", "1/activate/"}, {"POST", "1/change_password/"},
	} {
		s.do(c[0], management+c[1], "").is(403, `{"detail":"Usted no tiene permiso para realizar esta acción."}`)
		s.do(c[0], management+c[1], "", "Accept-Language", "en").is(403, `{"detail":"You do not have permission to perform this action."}`)
	}
	if n := len(s.meetings.Envelopes()); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
}

const newUserBody = `{"username":"nurse","email":"nurse@clinic.example","password":"Tr0ub4dor&3","password_confirm":"Tr0ub4dor&3"`

func TestANewUserIsMadeWithAHashedPassword(t *testing.T) {
	s := newREST(t)
	asked := make(chan *meetv1.CreateUserRequest, 2)
	backendtest.Command(s.meetings, subject.CreateUser, func(_ bus.Envelope, req *meetv1.CreateUserRequest) userAnswer {
		asked <- req
		return userAnswer{Response: &meetv1.UserResponse{User: aUser()}}
	})
	first := s.do("POST", management, newUserBody+`}`, "Idempotency-Key", "k").is(201, doctor).has("Location", "/api/v1/user-management/1/", "Idempotency-Replayed", "")
	s.do("POST", management, newUserBody+`}`, "Idempotency-Key", "k").is(201, first.body).has("Idempotency-Replayed", "true")
	other := strings.ReplaceAll(newUserBody, "Tr0ub4dor&3", "Tr0ub4dor&4")
	if a := s.do("POST", management, other+`}`, "Idempotency-Key", "k"); a.status != 422 {
		t.Errorf("another password under the same key: %d %s", a.status, a.body)
	}
	got := <-asked
	if right, err := argon2id.ComparePasswordAndHash("Tr0ub4dor&3", got.GetPasswordHash()); err != nil || !right {
		t.Errorf("hash %q: %v", got.GetPasswordHash(), err)
	}
	got.PasswordHash = ""
	if want := (&meetv1.CreateUserRequest{Username: "nurse", Email: "nurse@clinic.example", Role: meetv1.UserRole_USER_ROLE_EXTERNAL}); !proto.Equal(got, want) {
		t.Errorf("asked for %v, want %v", got, want)
	}
	s.do("POST", management, newUserBody+`,"role":"admin","first_name":"Eva"}`)
	if got := <-asked; got.GetRole() != meetv1.UserRole_USER_ROLE_ADMIN || got.GetFirstName() != "Eva" {
		t.Errorf("asked for role %v", got.GetRole())
	}
}

func TestWhatIsWrongWithANewUserIsTold(t *testing.T) {
	s := newREST(t)
	for _, c := range []struct{ name, body, es, en string }{
		{
			"nothing", `{}`,
			`{"username":["Este campo es requerido."],"email":["Este campo es requerido."],"password":["Este campo es requerido."],"password_confirm":["Este campo es requerido."]}`,
			`{"username":["This field is required."],"email":["This field is required."],"password":["This field is required."],"password_confirm":["This field is required."]}`,
		},
		{
			"a bad name, a short and common password", `{"username":"a b","email":"x","password":"1234","password_confirm":"12345","role":"boss"}`,
			`{"username":["Introduzca un nombre de usuario válido. Este valor solo puede contener letras, números y los caracteres @/./+/-/_ ."],"email":["Introduzca una dirección de correo electrónico válida."],"password":["Esta contraseña es demasiado corta. Debe contener al menos 8 caracteres.","Esta contraseña es completamente numérica."],"password_confirm":["Las contraseñas no coinciden."],"role":["\"boss\" no es una elección válida."]}`,
			`{"username":["Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters."],"email":["Enter a valid email address."],"password":["This password is too short. It must contain at least 8 characters.","This password is entirely numeric."],"password_confirm":["The passwords do not match."],"role":["\"boss\" is not a valid choice."]}`,
		},
		{
			"a common one", `{"username":"nurse","email":"nurse@clinic.example","password":"Password123","password_confirm":"Password123"}`,
			`{"password":["Esta contraseña es demasiado común."]}`, `{"password":["This password is too common."]}`,
		},
		{
			"numbers", `{"username":"nurse","email":"nurse@clinic.example","password":"8265194073","password_confirm":"8265194073"}`,
			`{"password":["Esta contraseña es completamente numérica."]}`, `{"password":["This password is entirely numeric."]}`,
		},
		{
			"like the name", `{"username":"enfermera.jefe","email":"n@clinic.example","password":"Enfermera.Jef3","password_confirm":"Enfermera.Jef3"}`,
			`{"password":["La contraseña es demasiado similar a la de nombre de usuario."]}`, `{"password":["The password is too similar to the username."]}`,
		},
		{
			"like the address", `{"username":"nurse","email":"margarita@clinic.example","password":"margarita7","password_confirm":"margarita7"}`,
			`{"password":["La contraseña es demasiado similar a la de dirección de correo electrónico."]}`, `{"password":["The password is too similar to the email address."]}`,
		},
		{
			"no text", `{"username":null,"email":[],"password":false,"password_confirm":""}`,
			`{"username":["Este campo no puede ser nulo."],"email":["No es una cadena válida."],"password":["No es una cadena válida."],"password_confirm":["Este campo no puede estar en blanco."]}`,
			`{"username":["This field may not be null."],"email":["Not a valid string."],"password":["Not a valid string."],"password_confirm":["This field may not be blank."]}`,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.of(t)
			s.do("POST", management, c.body).is(400, c.es)
			s.do("POST", management, c.body, "Accept-Language", "en").is(400, c.en)
		})
	}
}

func TestATakenNameIsTold(t *testing.T) {
	s := newREST(t)
	backendtest.Command(s.meetings, subject.CreateUser, func(bus.Envelope, *meetv1.CreateUserRequest) userAnswer {
		f := fault.New(fault.AlreadyExists, "USERNAME_TAKEN", "taken")
		return userAnswer{Err: f.WithFields(fault.Field{Path: "username", Reason: "USERNAME_TAKEN", Text: "taken"})}
	})
	s.do("POST", management, newUserBody+`}`).is(400, `{"username":["Ya existe un usuario con este nombre."]}`)
}

func TestAUserIsChangedFieldByField(t *testing.T) {
	s := newREST(t)
	scriptUser(s, true)
	asked := make(chan *meetv1.UpdateUserRequest, 8)
	backendtest.Command(s.meetings, subject.UpdateUser, func(_ bus.Envelope, req *meetv1.UpdateUserRequest) userAnswer {
		asked <- req
		if req.GetId() != 1 {
			return userAnswer{Err: fault.New(fault.NotFound, "USER_NOT_FOUND", "no such user")}
		}
		return userAnswer{Response: &meetv1.UserResponse{User: aUser()}}
	})
	for _, c := range []struct {
		method, path, body string
		status             int
		answer             string
		want               *meetv1.UpdateUserRequest
	}{
		{"PATCH", "1/", `{"first_name":" Ana ","role":"service","is_active":"false"}`, 200, doctor, &meetv1.UpdateUserRequest{
			Id: 1, User: &meetv1.UserPatch{FirstName: "Ana", Role: meetv1.UserRole_USER_ROLE_SERVICE}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"first_name", "role", "is_active"}},
		}},
		{"PUT", "1/", `{"email":"new@clinic.example"}`, 200, doctor, &meetv1.UpdateUserRequest{
			Id: 1, User: &meetv1.UserPatch{Email: "new@clinic.example"}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"email"}},
		}},
		{"PUT", "1/", `{"first_name":"Ana"}`, 400, `{"email":["Este campo es requerido."]}`, nil},
		{"PATCH", "1/", `{"email":""}`, 400, `{"email":["Este campo no puede estar en blanco."]}`, nil},
		{"PATCH", "1/", `{"last_name":"` + strings.Repeat("a", 151) + `"}`, 400, `{"last_name":["Asegúrese de que este campo no tenga más de 150 caracteres."]}`, nil},
		{"PATCH", "1/", `{"username":"ignored"}`, 200, doctor, nil},
		{"PATCH", "2/", `{"first_name":""}`, 404, `{"detail":"No encontrado."}`, &meetv1.UpdateUserRequest{
			Id: 2, User: &meetv1.UserPatch{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"first_name"}},
		}},
		{"DELETE", "1/", ``, 200, `{"message":"El usuario fue desactivado.","user_id":1,"username":"doctor"}`, &meetv1.UpdateUserRequest{
			Id: 1, User: &meetv1.UserPatch{}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"is_active"}},
		}},
		{"POST", "1/activate/", ``, 200, `{"message":"El usuario fue activado.","user_id":1,"username":"doctor"}`, &meetv1.UpdateUserRequest{
			Id: 1, User: &meetv1.UserPatch{IsActive: true}, UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"is_active"}},
		}},
	} {
		s.do(c.method, management+c.path, c.body).is(c.status, c.answer)
		if c.want == nil {
			continue
		}
		if got := <-asked; !proto.Equal(got, c.want) {
			t.Errorf("%s %s: asked for %v, want %v", c.method, c.body, got, c.want)
		}
	}
	if n := len(asked); n != 0 {
		t.Errorf("%d commands more than meant", n)
	}
}

func TestAPasswordIsChangedByWhoKnowsTheOldOne(t *testing.T) {
	s := newREST(t)
	scriptUser(s, true)
	current := "old Secret 1"
	backendtest.Query(s.meetings, subject.VerifyPassword, func(req *meetv1.VerifyPasswordRequest) (*meetv1.VerifyPasswordResponse, error) {
		return &meetv1.VerifyPasswordResponse{Ok: req.GetUserId() == 1 && req.GetPassword() == current}, nil
	})
	backendtest.Command(s.meetings, subject.UpdateUser, func(_ bus.Envelope, req *meetv1.UpdateUserRequest) userAnswer {
		right, err := argon2id.ComparePasswordAndHash("new Secret 2", req.GetUser().GetPasswordHash())
		if err != nil || !right || strings.Join(req.GetUpdateMask().GetPaths(), ",") != "password_hash" {
			t.Errorf("asked for %v: %v", req.GetUpdateMask(), err)
		}
		current = "new Secret 2"
		return userAnswer{Response: &meetv1.UserResponse{User: aUser()}}
	})
	for _, c := range []struct {
		name   string
		who    bus.Principal
		path   string
		body   string
		key    string
		status int
		answer string
	}{
		{"nothing given", s.who, "1/change_password/", `{}`, "", 400, `{"old_password":["Este campo es requerido."],"new_password":["Este campo es requerido."],"new_password_confirm":["Este campo es requerido."]}`},
		{"wrong old one", s.who, "1/change_password/", `{"old_password":"x","new_password":"new Secret 2","new_password_confirm":"new Secret 2"}`, "k0", 400, `{"old_password":["La contraseña actual no es correcta."]}`},
		{"no match", s.who, "1/change_password/", `{"old_password":"old Secret 1","new_password":"new Secret 2","new_password_confirm":"new Secret 3"}`, "", 400, `{"new_password_confirm":["Las contraseñas no coinciden."]}`},
		{
			"weak", somebody, "change-password/", `{"old_password":"old Secret 1","new_password":"doctor","new_password_confirm":"doctor"}`, "", 400,
			`{"new_password":["La contraseña es demasiado similar a la de nombre de usuario.","Esta contraseña es demasiado corta. Debe contener al menos 8 caracteres."]}`,
		},
		{"right", somebody, "change-password/", `{"old_password":"old Secret 1","new_password":"new Secret 2","new_password_confirm":"new Secret 2"}`, "k", 200, `{"message":"La contraseña fue cambiada."}`},
		{"a repeat", somebody, "change-password/", `{"old_password":"old Secret 1","new_password":"new Secret 2","new_password_confirm":"new Secret 2"}`, "k", 200, `{"message":"La contraseña fue cambiada."}`},
		{"no repeat without its key", somebody, "change-password/", `{"old_password":"old Secret 1","new_password":"new Secret 2","new_password_confirm":"new Secret 2"}`, "", 400, `{"old_password":["La contraseña actual no es correcta."]}`},
		{"of nobody", s.who, "2/change_password/", `{}`, "", 404, `{"detail":"No encontrado."}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.as(c.who).of(t)
			if c.key == "" {
				s.do("POST", management+c.path, c.body).is(c.status, c.answer)
				return
			}
			replayed := ""
			if c.name == "a repeat" {
				replayed = "true"
			}
			s.do("POST", management+c.path, c.body, "Idempotency-Key", c.key).is(c.status, c.answer).has("Idempotency-Replayed", replayed)
		})
	}
}

func TestAPasswordIsNoLikeness(t *testing.T) {
	for _, c := range []struct {
		password, value string
		want            bool
	}{
		{"margarita7", "margarita@clinic.example", true},
		{"atiragram", "margarita", true},
		{"correct horse", "doctor", false},
		{"x", "", false},
		{"a very long sentence that nobody guesses", "a", false},
		{"clinic.example", "x@clinic.example", true},
		{"ÑANDÚñandú", "ñandú", false},
		{"Ñandú", "ñandú", true},
	} {
		if got := similar(c.password, c.value); got != c.want {
			t.Errorf("%q and %q: %t", c.password, c.value, got)
		}
	}
}
