package standalone_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// contract is one request and what the contract says of its answer.
type contract struct {
	name         string
	method, path string
	body         string
	headers      []string // of the request, names and values in turn
	status       int
	want         string   // the whole body; "~" before it: an expression that the body matches
	answer       []string // headers of the answer, names and values in turn; an empty value: absent
}

// holds sends every request in turn and compares.
func (p product) holds(t *testing.T, rows []contract) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			r := p.send(row.method, row.path, row.body, row.headers...)
			if r.status != row.status {
				t.Errorf("status %d, want %d: %.300s", r.status, row.status, r.body)
			}
			if pattern, is := strings.CutPrefix(row.want, "~"); is {
				if !regexp.MustCompile(pattern).MatchString(r.body) {
					t.Errorf("body %.600s\nmatches not %s", r.body, pattern)
				}
			} else if r.body != row.want {
				t.Errorf("body %.600s\nwant %s", r.body, row.want)
			}
			for i := 0; i+1 < len(row.answer); i += 2 {
				if got := strings.Join(r.header.Values(row.answer[i]), ", "); got != row.answer[i+1] {
					t.Errorf("%s: %q, want %q", row.answer[i], got, row.answer[i+1])
				}
			}
		})
	}
}

const (
	doctorAsks  = `"organizer_email":"doctor@clinic.example","invited_emails":["p@mail.example"]`
	wrongTime   = `Fecha/hora con formato erróneo. Use uno de los siguientes formatos en su lugar: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].`
	notFoundES  = `{"detail":"No encontrado."}`
	challenge   = `Bearer realm="meet-middleware"`
	problemJSON = "application/problem+json"
)

// TestWhatAClientMaySendIsAnsweredByTheContract covers what the transcript of a client's life does not: input at its borders,
// what HTTP itself asks for, and each refusal in both languages.
func TestWhatAClientMaySendIsAnsweredByTheContract(t *testing.T) {
	p := run(t)
	create := func(more string) string { return `{` + doctorAsks + more + `}` }
	start := func(s string) string { return create(`,"scheduled_start":` + s) }
	guests := func(list string) string {
		return `{"organizer_email":"doctor@clinic.example","invited_emails":` + list + `}`
	}
	many := func(n int) string {
		list := make([]string, n)
		for i := range n {
			list[i] = fmt.Sprintf(`"g%d@m.co"`, i)
		}
		return guests(`[` + strings.Join(list, ",") + `]`)
	}
	const meetings = "meetings/"
	made := `~^\{"id":\d+,"google_event_id":"[a-v0-9]+","meet_link":"http[^"]+","organizer":1,`
	first := p.send("POST", meetings, create(`,"external_reference":"the first"`))
	one := meetings + p.field(first, "id") + "/"

	p.holds(t, []contract{
		{name: "an offset", method: "POST", path: meetings, body: start(`"2026-12-01T10:00:00-05:00"`), status: 201, want: `~"scheduled_start":"2026-12-01T15:00:00Z","scheduled_end":null`},
		{name: "no zone", method: "POST", path: meetings, body: start(`"2026-12-01T15:00:00.5"`), status: 201, want: `~"scheduled_start":"2026-12-01T15:00:00.500000Z"`},
		{name: "a fraction", method: "POST", path: meetings, body: start(`"2026-12-01T15:00:00.123456Z"`), status: 201, want: `~"scheduled_start":"2026-12-01T15:00:00.123456Z"`},
		{name: "the past", method: "POST", path: meetings, body: start(`"1999-01-01T00:00:00Z"`), status: 201, want: `~"scheduled_start":"1999-01-01T00:00:00Z"`},
		{name: "an end alone", method: "POST", path: meetings, body: create(`,"scheduled_end":"2020-01-01T00:00:00Z"`), status: 201, want: `~"scheduled_start":null,"scheduled_end":"2020-01-01T00:00:00Z"`},
		{name: "no such day", method: "POST", path: meetings, body: start(`"2026-02-30T00:00:00Z"`), status: 400, want: `{"scheduled_start":["` + wrongTime + `"]}`},
		{name: "no such offset", method: "POST", path: meetings, body: start(`"2026-12-01T00:00:00+24:00"`), status: 400, want: `{"scheduled_start":["` + wrongTime + `"]}`},
		{name: "a number for a time", method: "POST", path: meetings, body: start(`1764601200`), status: 400, want: `{"scheduled_start":["` + wrongTime + `"]}`},
		{name: "the instant that stands for none", method: "POST", path: meetings, body: start(`"0001-01-01T00:00:00Z"`), status: 400, want: `{"scheduled_start":["Valor de fecha/hora fuera de rango."]}`},
		{name: "an empty meeting", method: "POST", path: meetings, body: create(`,"scheduled_start":"2026-12-01T15:00:00Z","scheduled_end":"2026-12-01T15:00:00Z"`), status: 400, want: `{"scheduled_end":["La hora de fin debe ser posterior a la hora de inicio."]}`},

		{name: "the organizer among the guests is counted once", method: "POST", path: meetings, body: guests(`["DOCTOR@clinic.example","a@b.co"]`), status: 201, want: `~"invited_emails":\["DOCTOR@clinic.example","a@b.co"\].*"participants_count":2,`},
		{name: "200 guests", method: "POST", path: meetings, body: many(200), status: 201, want: `~"participants_count":201,`},
		{name: "201 guests", method: "POST", path: meetings, body: many(201), status: 400, want: `{"invited_emails":["Asegúrese de que este campo no tenga más de 200 elementos."]}`},
		{name: "no guest", method: "POST", path: meetings, body: guests(`[]`), status: 400, want: `{"invited_emails":["Esta lista no puede estar vacía."]}`},
		{name: "one address twice", method: "POST", path: meetings, body: guests(`["a@b.co","A@B.CO"]`), status: 400, want: `{"invited_emails":["Las direcciones no se pueden repetir, tampoco con otras mayúsculas."]}`},
		{name: "items of a list", method: "POST", path: meetings, body: guests(`["a@b.co","x",null]`), headers: []string{"Accept-Language", "en"}, status: 400, want: `{"invited_emails":{"1":["Enter a valid email address."],"2":["This field may not be null."]}}`},

		{name: "null everywhere", method: "POST", path: meetings, body: `{"organizer_email":null,"invited_emails":null,"external_reference":null,"auto_record":null}`, status: 400, want: `{"organizer_email":["Este campo no puede ser nulo."],"invited_emails":["Este campo no puede ser nulo."],"external_reference":["Este campo no puede ser nulo."],"auto_record":["Este campo no puede ser nulo."]}`},
		{name: "the last of two keys counts", method: "POST", path: meetings, body: `{"organizer_email":"bad",` + doctorAsks + `}`, status: 201, want: made},
		{name: "a number for a text", method: "POST", path: meetings, body: create(`,"external_reference":17`), status: 201, want: `~"external_reference":"17"`},
		{name: "unknown fields", method: "POST", path: meetings, body: create(`,"id":7,"status":"FINISHED","meet_link":"x","extra":[{}]`), status: 201, want: `~"status":"CREATED"`},
		{name: "emoji", method: "POST", path: meetings, body: create(`,"external_reference":"` + strings.Repeat("😀", 255) + `"`), status: 201, want: made},
		{name: "too many emoji", method: "POST", path: meetings, body: create(`,"external_reference":"` + strings.Repeat("😀", 256) + `"`), status: 400, want: `{"external_reference":["Asegúrese de que este campo no tenga más de 255 caracteres."]}`},
		{name: "NUL", method: "POST", path: meetings, body: create(`,"summary":"a\u0000b"`), status: 400, want: `{"summary":["Los caracteres nulos no están permitidos."]}`},
		{name: "recurrence", method: "POST", path: meetings, body: create(`,"recurrence":"RRULE:FREQ=DAILY"`), status: 400, want: `{"recurrence":["Las reuniones periódicas aún no se admiten."]}`},
		{name: "a time zone that is none", method: "POST", path: meetings, body: create(`,"time_zone":"Mars/Base"`), status: 400, want: `{"time_zone":["No es una zona horaria conocida; use un nombre IANA como America/Bogota."]}`},
		{name: "an array", method: "POST", path: meetings, body: `[1]`, status: 400, want: `{"non_field_errors":["Datos inválidos. Se esperaba un diccionario pero es un list."]}`},
		{name: "no body", method: "POST", path: meetings, status: 400, want: `{"organizer_email":["Este campo es requerido."],"invited_emails":["Este campo es requerido."]}`},
		{name: "malformed", method: "POST", path: meetings, body: `{"a":`, headers: []string{"Accept-Language", "en"}, status: 400, want: `{"detail":"JSON parse error at byte 5."}`, answer: []string{"Content-Language", "en"}},
		{name: "another type", method: "POST", path: meetings, body: `a=b`, headers: []string{"Content-Type", "text/plain", "Accept-Language", "en"}, status: 415, want: `{"detail":"Unsupported media type \"text/plain\" in request."}`},
		{name: "more than 1 MiB", method: "POST", path: meetings, body: create(`,"description":"` + strings.Repeat("x", 1<<20) + `"`), status: 413, want: `{"detail":"El cuerpo de la solicitud supera 1048576 bytes."}`},
		{name: "a reference may come again", method: "POST", path: meetings, body: create(`,"external_reference":"the first"`), status: 201, want: made},

		{name: "HEAD", method: "HEAD", path: one, status: 200, answer: []string{"Content-Type", "application/json"}},
		{name: "HEAD of what is not there", method: "HEAD", path: "nothing/", status: 404},
		{name: "OPTIONS", method: "OPTIONS", path: meetings, status: 200, want: `~^\{"name":`, answer: []string{"Allow", "GET, POST, HEAD, OPTIONS"}},
		{name: "405", method: "PATCH", path: meetings, body: `{}`, headers: []string{"Accept-Language", "en"}, status: 405, want: `{"detail":"Method \"PATCH\" not allowed."}`, answer: []string{"Allow", "GET, POST, HEAD, OPTIONS"}},
		{name: "no slash, method and query kept", method: "PATCH", path: strings.TrimSuffix(one, "/") + "?a=%20", body: `{}`, status: 308, answer: []string{"Location", "/api/v1/" + one + "?a=%20"}},
		{name: "no slash, nothing there", method: "GET", path: "nothing", status: 404, want: notFoundES},
		{name: "number 0", method: "GET", path: "meetings/0/", status: 404, want: notFoundES},
		{name: "a number beyond all", method: "GET", path: "meetings/99999999999999999999/", status: 404, want: notFoundES},
		{name: "nobody is logged in", method: "GET", path: "users/me/", headers: []string{"Accept-Language", "en"}, status: 401, want: `{"message":"Nobody is logged in."}`, answer: []string{"WWW-Authenticate", challenge}},

		{name: "filters that are wrong", method: "GET", path: "meetings/?organizer=x&status=created&scheduled_start__gte=x&limit=0", headers: []string{"Accept-Language", "en"}, status: 400, want: `{"organizer":["Enter a number."],"status":["Select a valid choice. created is not one of the available choices."],"scheduled_start__gte":["Enter a valid date/time."],"limit":["Enter a number between 1 and 1000."]}`},
		{name: "blank filters filter nothing", method: "GET", path: "meetings/?organizer=&status=&limit=1", status: 200, want: `~^\[\{"id":\d+,`},
		{name: "a plus for a space in an offset", method: "GET", path: "meetings/?scheduled_start__lte=1999-01-01T00:00:00+00:00", status: 200, want: `~^\[\{[^{]*"scheduled_start":"1999-01-01T00:00:00Z"[^{]*\}\]$`},
		{name: "by reference", method: "GET", path: "meetings/?external_reference=the%20first&limit=1", status: 200, want: `~^\[\{[^{]*\}\]$`},
		{name: "a page that is none", method: "GET", path: "meetings/?page_token=abc", headers: []string{"Accept-Language", "en"}, status: 400, want: `{"page_token":["This value is not from an earlier page of the same list."]}`},
		{name: "of which meeting", method: "GET", path: "participants/?meeting=x", status: 400, want: `{"meeting":["Introduzca un número."]}`},
		{name: "of which role", method: "GET", path: "users/?role=x", status: 400, want: `~^\{"role":\[`},

		{name: "the schema as YAML", method: "GET", path: "schema/?format=yaml", status: 200, want: `~(?m)^openapi: 3`, answer: []string{"Content-Type", "application/yaml"}},
		{name: "the schema as JSON", method: "GET", path: "schema/", status: 200, want: `~"openapi":"3`, answer: []string{"Content-Type", "application/json"}},
		{name: "health needs no language", method: "GET", path: "health/", status: 200, want: `~^\{"status":"ok","api":"running","database":"connected","broker":"connected"`, answer: []string{"Cache-Control", "no-store"}},
	})
}

// TestPreconditionsAndKeysHoldThroughFailures: what If-Match, If-None-Match and Idempotency-Key promise, also where the first
// request was refused, by a rule or by Google.
func TestPreconditionsAndKeysHoldThroughFailures(t *testing.T) {
	p := run(t)
	const body = `{` + doctorAsks + `,"auto_record":false,"public_access":false}`
	one := "meetings/" + p.field(p.send("POST", "meetings/", body), "id") + "/"
	tag := p.send("GET", one, "").header.Get("ETag")
	keyed := func(key string, more ...string) []string { return append([]string{"Idempotency-Key", key}, more...) }
	cancelled := `{"status":["La reunión está cancelada y ya no puede cambiar."]}`
	p.holds(t, []contract{
		{name: "304", method: "GET", path: one, headers: []string{"If-None-Match", `"x", W/` + tag}, status: 304, answer: []string{"ETag", tag, "Cache-Control", "private, no-cache"}},
		{name: "412 tells the tag", method: "PATCH", path: one, body: `{"status":"FINISHED"}`, headers: keyed("p1", "If-Match", `"0"`), status: 412, want: `{"detail":"La versión indicada en If-Match no es la actual."}`, answer: []string{"ETag", tag, "Idempotency-Replayed", ""}},
		{name: "a key keeps its 412, and says so", method: "PATCH", path: one, body: `{"status":"FINISHED"}`, headers: keyed("p1", "If-Match", tag, "Accept-Language", "en"), status: 412, want: `{"detail":"The version in If-Match is not the current one."}`, answer: []string{"Idempotency-Replayed", "true"}},
		{name: "a new key does it", method: "PATCH", path: one, body: `{"status":"FINISHED"}`, headers: keyed("p2", "If-Match", tag), status: 200, want: `~"status":"FINISHED"`, answer: []string{"Idempotency-Replayed", ""}},
		{name: "a key before the tag", method: "PATCH", path: one, body: `{"status":"FINISHED"}`, headers: keyed("p2", "If-Match", `"0"`), status: 200, want: `~"status":"FINISHED"`, answer: []string{"Idempotency-Replayed", "true"}},
		{name: "a key for another body", method: "PATCH", path: one, body: `{"status":"CREATED"}`, headers: keyed("p2"), status: 422, want: `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"Esta Idempotency-Key ya se usó con otra solicitud.","code":"IDEMPOTENCY_KEY_REUSED"}`, answer: []string{"Content-Type", problemJSON}},
		{name: "a key too long", method: "PATCH", path: one, body: `{}`, headers: keyed(strings.Repeat("k", 256)), status: 400, want: `{"detail":"La cabecera Idempotency-Key debe tener entre 1 y 255 caracteres."}`},
		{name: "what is malformed uses up no key", method: "POST", path: "meetings/", body: `{}`, headers: keyed("c1"), status: 400, want: `~^\{"organizer_email":`},
		{name: "and its key is free", method: "POST", path: "meetings/", body: body, headers: keyed("c1"), status: 201, want: `~"provisioning":"ready"`, answer: []string{"Idempotency-Replayed", ""}},
		{name: "DELETE", method: "DELETE", path: one, headers: keyed("d1"), status: 200, want: `~^\{"message":"La reunión fue cancelada.","meeting_id":\d+,"status":"CANCELLED"\}$`},
		{name: "DELETE again, in English", method: "DELETE", path: one, headers: keyed("d1", "Accept-Language", "en"), status: 200, want: `~^\{"message":"The meeting was cancelled.","meeting_id":\d+,"status":"CANCELLED"\}$`, answer: []string{"Idempotency-Replayed", "true"}},
		{name: "DELETE with no key", method: "DELETE", path: one, status: 200, want: `~"status":"CANCELLED"`},
		{name: "out of CANCELLED", method: "PATCH", path: one, body: `{"status":"SCHEDULED"}`, headers: keyed("p3"), status: 400, want: cancelled, answer: []string{"Idempotency-Replayed", ""}},
		{name: "out of CANCELLED, repeated", method: "PATCH", path: one, body: `{"status":"SCHEDULED"}`, headers: keyed("p3"), status: 400, want: cancelled, answer: []string{"Idempotency-Replayed", "true"}},
		{name: "nobody is invited to what is cancelled", method: "POST", path: one + "participants/", body: `{"email":"late@mail.example"}`, status: 400, want: `{"non_field_errors":["La reunión está cancelada y ya no puede cambiar."]}`},
	})

	p.google("POST", "faults", []map[string]any{{"match": "POST /calendar/v3/", "status": 403, "reason": "forbidden"}}, nil)
	refused := p.send("POST", "meetings/", body, keyed("g1")...)
	id := p.field(refused, "meeting_id")
	const spanish = `~^\{"error":"Google no permite a la cuenta hacer esto; [^"]*","code":"GOOGLE_PERMISSION_DENIED","meeting_id":\d+\}$`
	const failed = `~"meet_link":"",.*"provisioning":"failed","google_sync":"failed"`
	p.holds(t, []contract{
		{name: "502 again", method: "POST", path: "meetings/", body: body, headers: keyed("g1"), status: 502, want: refused.body, answer: []string{"Idempotency-Replayed", "true", "Location", "/api/v1/meetings/" + id + "/", "Content-Language", "es"}},
		{name: "502 in Spanish", method: "POST", path: "meetings/", body: body, status: 502, want: spanish},
		{name: "502 in English", method: "POST", path: "meetings/", body: body, headers: []string{"Accept-Language", "en"}, status: 502, want: `~^\{"error":"Google does not let the account do this`},
		{name: "no link is invented", method: "GET", path: "meetings/" + id + "/", status: 200, want: failed},
	})
	p.google("DELETE", "faults", nil, nil)
	trying := p.send("POST", "meetings/"+id+"/provision/", "", "Prefer", "respond-async")
	if trying.status != http.StatusAccepted || !strings.HasPrefix(trying.header.Get("Location"), "/api/v1/operations/") {
		t.Fatalf("provision: %d %s", trying.status, trying.body)
	}
	// The repeat of the create waits for what goes on by now, and answers with the link.
	p.holds(t, []contract{
		{name: "201 once it was tried again", method: "POST", path: "meetings/", body: body, headers: keyed("g1"), status: 201, want: `~^\{"id":` + id + `,.*"meet_link":"http`, answer: []string{"Idempotency-Replayed", "true"}},
	})
	// Numbers do not skip over all these repeats.
	before := p.send("POST", "meetings/", body, keyed("n1")...)
	for range 5 {
		p.send("POST", "meetings/", body, keyed("n1")...)
	}
	var a, b struct{ ID int64 }
	if err := json.Unmarshal([]byte(before.body), &a); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(p.send("POST", "meetings/", body).body), &b); err != nil {
		t.Fatal(err)
	}
	if b.ID != a.ID+1 {
		t.Errorf("after meeting %d and its repeats comes %d", a.ID, b.ID)
	}
}
