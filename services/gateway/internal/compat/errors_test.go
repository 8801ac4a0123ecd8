package compat

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	meetv1 "github.com/meet-middleware/meet-middleware/pkg/api/meet/v1"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backendtest"
)

// emailsOf makes n addresses as JSON.
func emailsOf(n int) string {
	list := make([]string, 0, n)
	for i := range n {
		list = append(list, fmt.Sprintf(`"p%d@mail.example"`, i))
	}
	return "[" + strings.Join(list, ",") + "]"
}

func TestWhatIsWrongWithACreateIsToldOfEachFieldInBothLanguages(t *testing.T) {
	s := newREST(t)
	with := func(more string) string { return minimalBody[:len(minimalBody)-1] + "," + more + "}" }
	const formats = "YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."
	for _, c := range []struct{ name, body, es, en string }{
		{
			"nothing given", `{}`,
			`{"organizer_email":["Este campo es requerido."],"invited_emails":["Este campo es requerido."]}`,
			`{"organizer_email":["This field is required."],"invited_emails":["This field is required."]}`,
		},
		{
			"no body", ``,
			`{"organizer_email":["Este campo es requerido."],"invited_emails":["Este campo es requerido."]}`,
			`{"organizer_email":["This field is required."],"invited_emails":["This field is required."]}`,
		},
		{
			"null", `{"organizer_email":null,"invited_emails":null,"auto_record":null,"external_reference":null}`,
			`{"organizer_email":["Este campo no puede ser nulo."],"invited_emails":["Este campo no puede ser nulo."],"external_reference":["Este campo no puede ser nulo."],"auto_record":["Este campo no puede ser nulo."]}`,
			`{"organizer_email":["This field may not be null."],"invited_emails":["This field may not be null."],"external_reference":["This field may not be null."],"auto_record":["This field may not be null."]}`,
		},
		{
			"blank", `{"organizer_email":"  ","invited_emails":[]}`,
			`{"organizer_email":["Este campo no puede estar en blanco."],"invited_emails":["Esta lista no puede estar vacía."]}`,
			`{"organizer_email":["This field may not be blank."],"invited_emails":["This list may not be empty."]}`,
		},
		{
			"no addresses", `{"organizer_email":"doctor","invited_emails":["p@mail.example","x","","a@b"]}`,
			`{"organizer_email":["Introduzca una dirección de correo electrónico válida."],"invited_emails":{"1":["Introduzca una dirección de correo electrónico válida."],"2":["Este campo no puede estar en blanco."],"3":["Introduzca una dirección de correo electrónico válida."]}}`,
			`{"organizer_email":["Enter a valid email address."],"invited_emails":{"1":["Enter a valid email address."],"2":["This field may not be blank."],"3":["Enter a valid email address."]}}`,
		},
		{
			"wrong types", `{"organizer_email":{},"invited_emails":"p@mail.example","scheduled_start":5,"auto_record":"perhaps","external_reference":true}`,
			`{"organizer_email":["No es una cadena válida."],"invited_emails":["Se esperaba una lista de elementos en vez del tipo \"str\"."],"scheduled_start":["Fecha/hora con formato erróneo. Use uno de los siguientes formatos en su lugar: ` + formats + `"],"external_reference":["No es una cadena válida."],"auto_record":["Debe ser un booleano válido."]}`,
			`{"organizer_email":["Not a valid string."],"invited_emails":["Expected a list of items but got type \"str\"."],"scheduled_start":["Datetime has wrong format. Use one of these formats instead: ` + formats + `"],"external_reference":["Not a valid string."],"auto_record":["Must be a valid boolean."]}`,
		},
		{
			"end before start", with(`"scheduled_start":"2026-12-01T15:00:00Z","scheduled_end":"2026-12-01T15:00:00Z"`),
			`{"scheduled_end":["La hora de fin debe ser posterior a la hora de inicio."]}`,
			`{"scheduled_end":["The end must be after the start."]}`,
		},
		{
			"the same guest twice", `{"organizer_email":"a@b.co","invited_emails":["P@mail.example","p@MAIL.example"]}`,
			`{"invited_emails":["Las direcciones no se pueden repetir, tampoco con otras mayúsculas."]}`,
			`{"invited_emails":["Addresses may not be repeated, not even in another case."]}`,
		},
		{
			"too many guests", `{"organizer_email":"a@b.co","invited_emails":` + emailsOf(201) + `}`,
			`{"invited_emails":["Asegúrese de que este campo no tenga más de 200 elementos."]}`,
			`{"invited_emails":["Ensure this field has no more than 200 elements."]}`,
		},
		{
			"too long", with(`"external_reference":"` + strings.Repeat("ñ", 256) + `","summary":"` + strings.Repeat("a", 1025) + `"`),
			`{"external_reference":["Asegúrese de que este campo no tenga más de 255 caracteres."],"summary":["Asegúrese de que este campo no tenga más de 1024 caracteres."]}`,
			`{"external_reference":["Ensure this field has no more than 255 characters."],"summary":["Ensure this field has no more than 1024 characters."]}`,
		},
		{
			"a long address", `{"organizer_email":"` + strings.Repeat("a", 250) + `@b.co","invited_emails":["p@mail.example"]}`,
			`{"organizer_email":["Asegúrese de que este campo no tenga más de 254 caracteres."]}`,
			`{"organizer_email":["Ensure this field has no more than 254 characters."]}`,
		},
		{
			"what no text has", with(`"summary":"a\u0000b","description":"a\u0007b"`),
			`{"summary":["Los caracteres nulos no están permitidos."],"description":["Los caracteres de control no están permitidos."]}`,
			`{"summary":["Null characters are not allowed."],"description":["Control characters are not allowed."]}`,
		},
		{
			"no such zone", with(`"time_zone":"Bogota"`),
			`{"time_zone":["No es una zona horaria conocida; use un nombre IANA como America/Bogota."]}`,
			`{"time_zone":["Not a known time zone; use an IANA name such as America/Bogota."]}`,
		},
		{
			"recurrence", with(`"recurrence":["RRULE:FREQ=DAILY"]`),
			`{"recurrence":["Las reuniones periódicas aún no se admiten."]}`,
			`{"recurrence":["Recurring meetings are not supported yet."]}`,
		},
		{
			"no day", with(`"scheduled_start":"2026-02-30T10:00:00Z","scheduled_end":"0001-01-01T00:00:00+02:00"`),
			`{"scheduled_start":["Fecha/hora con formato erróneo. Use uno de los siguientes formatos en su lugar: ` + formats + `"],"scheduled_end":["Valor de fecha/hora fuera de rango."]}`,
			`{"scheduled_start":["Datetime has wrong format. Use one of these formats instead: ` + formats + `"],"scheduled_end":["Datetime value out of range."]}`,
		},
		{
			"a list", `[1]`,
			`{"non_field_errors":["Datos inválidos. Se esperaba un diccionario pero es un list."]}`,
			`{"non_field_errors":["Invalid data. Expected a dictionary, but got list."]}`,
		},
		{
			"a null", ` null`,
			`{"non_field_errors":["Datos inválidos. Se esperaba un diccionario pero es un NoneType."]}`,
			`{"non_field_errors":["Invalid data. Expected a dictionary, but got NoneType."]}`,
		},
		{
			"a string", `"x"`,
			`{"non_field_errors":["Datos inválidos. Se esperaba un diccionario pero es un str."]}`,
			`{"non_field_errors":["Invalid data. Expected a dictionary, but got str."]}`,
		},
		{"no JSON", `{"a":}`, `{"detail":"El cuerpo no es JSON válido (byte 6)."}`, `{"detail":"JSON parse error at byte 6."}`},
		{"cut short", `{"a"`, `{"detail":"El cuerpo no es JSON válido (byte 4)."}`, `{"detail":"JSON parse error at byte 4."}`},
		{"bad UTF-8", "{\"summary\":\"\xff\"}", `{"detail":"El cuerpo no es UTF-8 válido."}`, `{"detail":"The body is not valid UTF-8."}`},
		{"half a pair", `{"summary":"\ud83d"}`, `{"detail":"El cuerpo no es UTF-8 válido."}`, `{"detail":"The body is not valid UTF-8."}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.of(t)
			s.do("POST", meetings, c.body).is(400, c.es).has("Content-Language", "es", "Vary", "Accept-Language")
			s.do("POST", meetings, c.body, "Accept-Language", "en-US,en;q=0.5").is(400, c.en).has("Content-Language", "en")
		})
	}
	if n := len(s.meetings.Envelopes()); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
}

func TestWhatIsWrongWithAChangeIsTold(t *testing.T) {
	s := newREST(t)
	for _, c := range []struct{ name, body, es string }{
		{"no such status", `{"status":"DONE"}`, `{"status":["\"DONE\" no es una elección válida."]}`},
		{"a status of another case", `{"status":"created"}`, `{"status":["\"created\" no es una elección válida."]}`},
		{"a blank status", `{"status":""}`, `{"status":["\"\" no es una elección válida."]}`},
		{"a null status", `{"status":null}`, `{"status":["Este campo no puede ser nulo."]}`},
		{"a status that is no text", `{"status":[]}`, `{"status":["\"[]\" no es una elección válida."]}`},
		{"no time", `{"scheduled_start":"soon"}`, `{"scheduled_start":["Fecha/hora con formato erróneo. Use uno de los siguientes formatos en su lugar: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."]}`},
		{"long texts", `{"summary":"` + strings.Repeat("a", 1025) + `"}`, `{"summary":["Asegúrese de que este campo no tenga más de 1024 caracteres."]}`},
		{"no guests", `{"invited_emails":[]}`, `{"invited_emails":["Esta lista no puede estar vacía."]}`},
		{"a guest that is none", `{"invited_emails":["x"]}`, `{"invited_emails":{"0":["Introduzca una dirección de correo electrónico válida."]}}`},
		{"a guest twice", `{"invited_emails":["p@mail.example","P@mail.example"]}`, `{"invited_emails":["Las direcciones no se pueden repetir, tampoco con otras mayúsculas."]}`},
		{"too many", `{"invited_emails":` + emailsOf(201) + `}`, `{"invited_emails":["Asegúrese de que este campo no tenga más de 200 elementos."]}`},
		{"a guest to add that is none", `{"invited_emails":{"add":["x"],"remove":[1]}}`, `{"invited_emails":{"add":{"0":["Introduzca una dirección de correo electrónico válida."]},"remove":{"0":["Introduzca una dirección de correo electrónico válida."]}}}`},
		{"guests of another kind", `{"invited_emails":7}`, `{"invited_emails":["Se esperaba una lista de elementos en vez del tipo \"int\"."]}`},
	} {
		t.Run(c.name, func(t *testing.T) { s.of(t).do("PATCH", oneMeeting, c.body).is(400, c.es) })
	}
}

func TestABadFilterIsNamed(t *testing.T) {
	s := newREST(t)
	for _, c := range []struct{ path, es, en string }{
		{meetings + "?organizer=x", `{"organizer":["Introduzca un número."]}`, `{"organizer":["Enter a number."]}`},
		{meetings + "?organizer=0", `{"organizer":["Introduzca un número entre 1 y 9223372036854775807."]}`, `{"organizer":["Enter a number between 1 and 9223372036854775807."]}`},
		{
			meetings + "?status=DONE&limit=0", `{"status":["Escoja una opción válida. DONE no es una de las opciones disponibles."],"limit":["Introduzca un número entre 1 y 1000."]}`,
			`{"status":["Select a valid choice. DONE is not one of the available choices."],"limit":["Enter a number between 1 and 1000."]}`,
		},
		{meetings + "?scheduled_start__gte=yesterday", `{"scheduled_start__gte":["Introduzca una fecha/hora válida."]}`, `{"scheduled_start__gte":["Enter a valid date/time."]}`},
		{meetings + "?scheduled_start__lte=2026-13-01", `{"scheduled_start__lte":["Introduzca una fecha/hora válida."]}`, `{"scheduled_start__lte":["Enter a valid date/time."]}`},
		{meetings + "?recording_state=lost", `{"recording_state":["Escoja una opción válida. lost no es una de las opciones disponibles."]}`, `{"recording_state":["Select a valid choice. lost is not one of the available choices."]}`},
		{meetings + "?invited_email=p", `{"invited_email":["Introduzca una dirección de correo electrónico válida."]}`, `{"invited_email":["Enter a valid email address."]}`},
		{meetings + "?external_reference=%00", `{"external_reference":["Los caracteres nulos no están permitidos."]}`, `{"external_reference":["Null characters are not allowed."]}`},
		{meetings + "?external_reference=%ff", `{"external_reference":["El texto no es UTF-8 válido."]}`, `{"external_reference":["The text is not valid UTF-8."]}`},
		{meetings + "?status=%zz", `{"detail":"La cadena de consulta de la URL no es válida."}`, `{"detail":"The query string of the URL is not valid."}`},
		{"/api/v1/participants/?meeting=x", `{"meeting":["Introduzca un número."]}`, `{"meeting":["Enter a number."]}`},
		{"/api/v1/recordings/?meeting=-1", `{"meeting":["Introduzca un número entre 1 y 9223372036854775807."]}`, `{"meeting":["Enter a number between 1 and 9223372036854775807."]}`},
		{"/api/v1/users/?role=boss", `{"role":["Escoja una opción válida. boss no es una de las opciones disponibles."]}`, `{"role":["Select a valid choice. boss is not one of the available choices."]}`},
		{"/api/v1/user-management/?limit=1001", `{"limit":["Introduzca un número entre 1 y 1000."]}`, `{"limit":["Enter a number between 1 and 1000."]}`},
	} {
		t.Run(c.path, func(t *testing.T) {
			s := s.of(t)
			s.do("GET", c.path, "").is(400, c.es)
			s.do("GET", c.path, "", "Accept-Language", "en").is(400, c.en)
		})
	}
}

func TestEveryFaultOfTheServiceHasItsAnswerInBothLanguages(t *testing.T) {
	var next error
	s := newREST(t)
	backendtest.Query(s.meetings, subject.GetMeeting, func(*meetv1.GetMeetingRequest) (*meetv1.Meeting, error) { return nil, next })
	cases := []struct {
		err     error
		status  int
		es, en  string
		headers []string
	}{
		{fault.New(fault.NotFound, "MEETING_NOT_FOUND", "no such meeting"), 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{
			fault.New(fault.Unauthenticated, "X", "who?"), 401, `{"detail":"Las credenciales de autenticación no se proveyeron."}`, `{"detail":"Authentication credentials were not provided."}`,
			[]string{"WWW-Authenticate", auth.Challenge},
		},
		{fault.New(fault.Forbidden, "X", "no"), 403, `{"detail":"Usted no tiene permiso para realizar esta acción."}`, `{"detail":"You do not have permission to perform this action."}`, nil},
		{
			fault.New(fault.VersionMismatch, "VERSION_MISMATCH", "changed").WithMeta("etag", `"7"`), 412, `{"detail":"La versión indicada en If-Match no es la actual."}`, `{"detail":"The version in If-Match is not the current one."}`,
			[]string{"ETag", `"7"`},
		},
		{fault.New(fault.Exhausted, "X", "slow down").WithMeta(fault.MetaRetryAfter, "30"), 429, `{"detail":"Solicitud fue regulada (throttled)."}`, `{"detail":"Request was throttled."}`, []string{"Retry-After", "30"}},
		{fault.New(fault.Exhausted, "X", "slow down"), 429, `{"detail":"Solicitud fue regulada (throttled)."}`, `{"detail":"Request was throttled."}`, []string{"Retry-After", "10"}},
		{fault.New(fault.Unavailable, "X", "down"), 503, `{"detail":"El servicio no está disponible por ahora. Vuelva a intentarlo."}`, `{"detail":"The service is not available at the moment. Try again."}`, []string{"Retry-After", "2"}},
		{fault.New(fault.Expired, "DEADLINE_EXCEEDED", "late"), 503, `{"detail":"El servicio no está disponible por ahora. Vuelva a intentarlo."}`, `{"detail":"The service is not available at the moment. Try again."}`, []string{"Retry-After", "2"}},
		{
			fault.New(fault.Refused, "CALENDAR_FORBIDDEN", "share the calendar").WithMeta("meeting_id", "12"), 502, `{"error":"share the calendar","code":"CALENDAR_FORBIDDEN","meeting_id":12}`,
			`{"error":"share the calendar","code":"CALENDAR_FORBIDDEN","meeting_id":12}`, nil,
		},
		{
			fault.New(fault.KeyReused, "IDEMPOTENCY_KEY_REUSED", "x"), 422,
			`{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"Esta Idempotency-Key ya se usó con otra solicitud.","code":"IDEMPOTENCY_KEY_REUSED"}`,
			`{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"This Idempotency-Key was used with another request.","code":"IDEMPOTENCY_KEY_REUSED"}`,
			[]string{"Content-Type", "application/problem+json"},
		},
		{
			fault.New(fault.InFlight, backend.ReasonInFlight, "x"), 409,
			`{"type":"about:blank","title":"Conflict","status":409,"detail":"La primera solicitud con esta Idempotency-Key aún se está procesando.","code":"IDEMPOTENCY_KEY_IN_FLIGHT"}`,
			`{"type":"about:blank","title":"Conflict","status":409,"detail":"The first request with this Idempotency-Key is still being carried out.","code":"IDEMPOTENCY_KEY_IN_FLIGHT"}`,
			[]string{"Content-Type", "application/problem+json", "Retry-After", "1"},
		},
		{fault.New(fault.Invalid, "SOMETHING", "is wrong"), 400, `{"non_field_errors":["is wrong"]}`, `{"non_field_errors":["is wrong"]}`, nil},
		{fault.New(fault.Conflict, "MEETING_CANCELLED", "x"), 400, `{"non_field_errors":["La reunión está cancelada y ya no puede cambiar."]}`, `{"non_field_errors":["The meeting is cancelled and can no longer change."]}`, nil},
		{fault.New(fault.AlreadyExists, "X", "").WithFields(fault.Field{Path: "username", Reason: "USERNAME_TAKEN"}), 400, `{"username":["Ya existe un usuario con este nombre."]}`, `{"username":["A user with that username already exists."]}`, nil},
		{errors.New("password=hunter2 leaked by a driver"), 500, `{"detail":"Se ha producido un error en el servidor."}`, `{"detail":"A server error occurred."}`, nil},
	}
	var kinds []fault.Kind
	for _, c := range cases {
		kinds = append(kinds, fault.KindOf(c.err))
		t.Run(c.err.Error(), func(t *testing.T) {
			for language, want := range map[string]string{"": c.es, "en": c.en} {
				r := httptest.NewRequest("GET", "/api/v1/", nil)
				r.Header.Set("Accept-Language", language)
				w := httptest.NewRecorder()
				s.api.Refuse(w, r, c.err)
				(answered{tb: t, status: w.Code, header: w.Header(), body: w.Body.String()}).is(c.status, want).has(c.headers...)
			}
		})
	}
	for _, kind := range fault.Kinds() {
		if !slices.Contains(kinds, kind) {
			t.Errorf("no case for %s", kind)
		}
	}
	next = cases[0].err // and one of them over the wire
	s.do("GET", oneMeeting, "").is(404, `{"detail":"No encontrado."}`)
	next = cases[len(cases)-1].err
	s.do("GET", oneMeeting, "").is(500, `{"detail":"Se ha producido un error en el servidor."}`)
}

func TestNobodyAnsweringIsUnavailable(t *testing.T) {
	s := newRESTWith(t, backend.Config{CreateWait: testTimeout, CommandTimeout: 50e6, QueryTimeout: 50e6})
	for _, c := range [][3]string{{"GET", meetings, ""}, {"GET", oneMeeting, ""}, {"POST", meetings, minimalBody}, {"PATCH", oneMeeting, "{}"}, {"DELETE", oneMeeting, ""}} {
		s.do(c[0], c[1], c[2]).is(503, `{"detail":"El servicio no está disponible por ahora. Vuelva a intentarlo."}`).has("Retry-After", "2")
	}
}

func TestWhatHTTPAloneRefuses(t *testing.T) {
	s := newREST(t)
	long := strings.Repeat("k", 256)
	for _, c := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		es, en                   string
		want                     []string
	}{
		{"unknown route", "GET", "/api/v1/webhooks/", "", nil, 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{"unknown route, posted to", "POST", "/x", "", nil, 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{"no id", "GET", meetings + "abc/", "", nil, 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{"too large an id", "GET", meetings + "99999999999999999999/", "", nil, 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{"a negative id", "DELETE", meetings + "-1/", "", nil, 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{"a word for a number", "GET", "/api/v1/users/abc/", "", nil, 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{"a number too large for a user", "GET", "/api/v1/users/99999999999999999999/", "", nil, 404, `{"detail":"No encontrado."}`, `{"detail":"Not found."}`, nil},
		{"PUT", "PUT", oneMeeting, "{}", nil, 405, `{"detail":"Método \"PUT\" no permitido."}`, `{"detail":"Method \"PUT\" not allowed."}`, []string{"Allow", "GET, PATCH, DELETE, HEAD, OPTIONS"}},
		{"DELETE of a list", "DELETE", meetings, "", nil, 405, `{"detail":"Método \"DELETE\" no permitido."}`, `{"detail":"Method \"DELETE\" not allowed."}`, []string{"Allow", "GET, POST, HEAD, OPTIONS"}},
		{"GET of a command", "GET", oneMeeting + "provision/", "", nil, 405, `{"detail":"Método \"GET\" no permitido."}`, `{"detail":"Method \"GET\" not allowed."}`, []string{"Allow", "POST, OPTIONS"}},
		{"GET of a command with a name", "GET", "/api/v1/user-management/change-password/", "", nil, 405, `{"detail":"Método \"GET\" no permitido."}`, `{"detail":"Method \"GET\" not allowed."}`, []string{"Allow", "POST, OPTIONS"}},
		{"a method of another protocol", "PROPFIND", meetings, "", nil, 405, `{"detail":"Método \"PROPFIND\" no permitido."}`, `{"detail":"Method \"PROPFIND\" not allowed."}`, []string{"Allow", "GET, POST, HEAD, OPTIONS"}},
		{
			"a form", "POST", meetings, "a=b",
			[]string{"Content-Type", "application/x-www-form-urlencoded"},
			415,
			`{"detail":"Tipo de medio \"application/x-www-form-urlencoded\" incompatible en la solicitud."}`, `{"detail":"Unsupported media type \"application/x-www-form-urlencoded\" in request."}`, nil,
		},
		{
			"another charset", "PATCH", oneMeeting, "{}",
			[]string{"Content-Type", "application/json; charset=latin1"},
			415,
			`{"detail":"Tipo de medio \"application/json; charset=latin1\" incompatible en la solicitud."}`, `{"detail":"Unsupported media type \"application/json; charset=latin1\" in request."}`, nil,
		},
		{
			"a body above 1 MiB", "POST", meetings, `{"summary":"` + strings.Repeat("a", maxBody) + `"}`, nil, 413,
			`{"detail":"El cuerpo de la solicitud supera 1048576 bytes."}`, `{"detail":"The body of the request is larger than 1048576 bytes."}`, nil,
		},
		{
			"a long key", "POST", meetings, minimalBody,
			[]string{"Idempotency-Key", long},
			400,
			`{"detail":"La cabecera Idempotency-Key debe tener entre 1 y 255 caracteres."}`, `{"detail":"The Idempotency-Key header must have 1 to 255 characters."}`, nil,
		},
		{
			"an empty key", "DELETE", oneMeeting, "",
			[]string{"Idempotency-Key", ""},
			400,
			`{"detail":"La cabecera Idempotency-Key debe tener entre 1 y 255 caracteres."}`, `{"detail":"The Idempotency-Key header must have 1 to 255 characters."}`, nil,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := s.of(t)
			s.do(c.method, c.path, c.body, c.headers...).is(c.status, c.es).has(c.want...)
			s.do(c.method, c.path, c.body, append(slices.Clone(c.headers), "Accept-Language", "en")...).is(c.status, c.en).has(c.want...)
		})
	}
	if n := len(s.meetings.Envelopes()); n != 0 {
		t.Errorf("%d commands were sent", n)
	}
}

func TestContentTypesThatAreJSON(t *testing.T) {
	for _, media := range []string{"application/json", "application/json; charset=UTF-8", "Application/JSON;charset=utf8"} {
		if err := jsonType(media); err != nil {
			t.Errorf("%q: %v", media, err)
		}
	}
	for _, media := range []string{"", "text/plain", "application/merge-patch+json", "application/json; charset=utf-16", "multipart/form-data; boundary=x"} {
		if jsonType(media) == nil {
			t.Errorf("%q passes", media)
		}
	}
}

func TestABodyThatBreaksOffIsRefused(t *testing.T) {
	for _, c := range []struct {
		err    error
		status int
	}{{io.ErrUnexpectedEOF, 400}, {errors.New("reset"), 400}, {os.ErrDeadlineExceeded, 408}, {&http.MaxBytesError{Limit: 5}, 413}} {
		var refused *refusal
		if err := readFailure(c.err); !errors.As(err, &refused) || refused.status != c.status {
			t.Errorf("%v: %v, want %d", c.err, err, c.status)
		}
	}
}

func TestAPathWithoutItsSlashIsSentToTheOneWithIt(t *testing.T) {
	s := newREST(t)
	for _, c := range [][2]string{
		{"/api/v1/meetings", "/api/v1/meetings/"},
		{"/api/v1/meetings/12?x=%2F&y", "/api/v1/meetings/12/?x=%2F&y"},
		{"/api/v1", "/api/v1/"},
		{"/api/v1/user-management/change-password", "/api/v1/user-management/change-password/"},
		{"/admin", "/admin/"},
		{"/api/v1/meetings/a%20b", "/api/v1/meetings/a%20b/"},
	} {
		for _, method := range []string{"GET", "POST", "PATCH", "HEAD", "OPTIONS"} {
			s.do(method, c[0], "").is(308, "").has("Location", c[1])
		}
	}
	s.do("GET", "/api/v1/webhooks", "").is(404, `{"detail":"No encontrado."}`)
	s.do("GET", "//evil.example", "").is(404, `{"detail":"No encontrado."}`)
}

func TestEveryRouteAnswersHeadAndOptions(t *testing.T) {
	s := newREST(t)
	methodsOf := regexp.MustCompile(`\{id\}`)
	for pattern, item := range s.api.api.OpenAPI().Paths {
		path := methodsOf.ReplaceAllString(pattern, "12")
		if strings.Contains(pattern, "operations") {
			path = methodsOf.ReplaceAllString(pattern, operation)
		}
		var allow []string
		for _, m := range []struct {
			name string
			is   bool
		}{{"GET", item.Get != nil}, {"POST", item.Post != nil}, {"PUT", item.Put != nil}, {"PATCH", item.Patch != nil}, {"DELETE", item.Delete != nil}, {"HEAD", item.Get != nil}, {"OPTIONS", true}} {
			if m.is {
				allow = append(allow, m.name)
			}
		}
		if a := s.do("OPTIONS", path, "").has("Allow", strings.Join(allow, ", ")); a.status != 200 || !strings.HasPrefix(a.body, `{"name":"`) {
			t.Errorf("OPTIONS %s: %d %s", path, a.status, a.body)
		}
	}
}

func TestTheLanguageIsTheOneAskedFor(t *testing.T) {
	for accept, want := range map[string]Language{
		"": Spanish, "en": English, "en-US,en;q=0.9": English, "es-CO,es;q=0.9,en;q=0.8": Spanish, "en;q=0.8,es": Spanish, "fr,en;q=0.5": English,
		"fr": Spanish, "*": Spanish, "de-DE, *;q=0.5": Spanish, "en;q=bad": Spanish, strings.Repeat("en,", 1000): Spanish, "EN": English, "pt-BR,es;q=0.3,en;q=0.2": Spanish,
	} {
		if got := languageOf(accept); got != want {
			t.Errorf("%.40q: %d, want %d", accept, got, want)
		}
	}
}

func TestEveryCodeThatWaitsForAPersonHasASpanishSentence(t *testing.T) {
	page, err := os.ReadFile("../../../../docs/reference/errors.md")
	if err != nil {
		t.Fatal(err)
	}
	codes := regexp.MustCompile("(?m)^\\| `(GOOGLE_[A-Z_]+)` \\| no \\|").FindAllSubmatch(page, -1)
	if len(codes) < 10 {
		t.Fatalf("%d codes found", len(codes))
	}
	for _, code := range codes {
		if refusals[string(code[1])] == "" {
			t.Errorf("%s has none", code[1])
		}
	}
}

func TestEverySentenceIsInBothLanguagesWithTheSameParameters(t *testing.T) {
	parameter := regexp.MustCompile(`\{[a-z_]+\}`)
	for why, said := range texts {
		es, en := parameter.FindAllString(said.es, -1), parameter.FindAllString(said.en, -1)
		slices.Sort(es)
		slices.Sort(en)
		if said.es == "" || said.en == "" || said.es == said.en || (why != passwordSimilar && !slices.Equal(es, en)) {
			t.Errorf("%s: %q and %q", why, said.es, said.en)
		}
	}
}
