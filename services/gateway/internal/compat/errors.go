package compat

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/access"
	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

// reason is why something was refused: of a field, or of the whole request. Those of the meetings service are among them.
type reason string

// Reasons of single fields.
const (
	required          reason = "REQUIRED"
	null              reason = "NULL"
	blank             reason = "BLANK"
	notAString        reason = "NOT_A_STRING"
	notAList          reason = "NOT_A_LIST"
	notAnObject       reason = "NOT_AN_OBJECT"
	notABoolean       reason = "NOT_A_BOOLEAN"
	notAnInteger      reason = "NOT_AN_INTEGER"
	tooLarge          reason = "TOO_LARGE"
	tooSmall          reason = "TOO_SMALL"
	notATime          reason = "NOT_A_TIME"
	timeOutOfRange    reason = "RANGE"
	invalidEmail      reason = "EMAIL"
	tooLong           reason = "TOO_LONG"
	emptyList         reason = "EMPTY_LIST"
	tooMany           reason = "TOO_MANY"
	duplicateEmails   reason = "UNIQUE"
	endNotAfterStart  reason = "END_BEFORE_START"
	invalidChoice     reason = "INVALID_CHOICE"
	unknownTimeZone   reason = "TIME_ZONE"
	noRecurrence      reason = "RECURRENCE_UNSUPPORTED"
	nullCharacter     reason = "NULL_CHARACTER"
	controlCharacter  reason = "CONTROL_CHARACTER"
	notUTF8           reason = "NOT_UTF8"
	invalidUsername   reason = "INVALID_USERNAME"
	usernameTaken     reason = "USERNAME_TAKEN"
	emailTaken        reason = "EMAIL_TAKEN"
	passwordTooShort  reason = "PASSWORD_TOO_SHORT"
	passwordTooCommon reason = "PASSWORD_TOO_COMMON"
	passwordNumeric   reason = "PASSWORD_NUMERIC"
	passwordSimilar   reason = "PASSWORD_SIMILAR"
	passwordMismatch  reason = "PASSWORD_MISMATCH"
	wrongPassword     reason = "WRONG_PASSWORD"
	filterNotANumber  reason = "FILTER_NOT_A_NUMBER"
	filterNotATime    reason = "FILTER_NOT_A_TIME"
	filterNotAChoice  reason = "FILTER_NOT_A_CHOICE"
	outOfRange        reason = "OUT_OF_RANGE"
	badPageToken      reason = "TOKEN"
	guestCount        reason = "COUNT"
	tooLongToStore    reason = "MAX_LENGTH"
	meetingCancelled  reason = "MEETING_CANCELLED"
	organizerStays    reason = "ORGANIZER_STAYS"
	noScheduledStart  reason = "MEETING_HAS_NO_START"
	notExported       reason = "RECORDING_NOT_EXPORTED"
	noFile            reason = "RECORDING_HAS_NO_FILE"
	invalidValue      reason = "INVALID_VALUE"
)

// Reasons of whole requests.
const (
	notFound         reason = "NOT_FOUND"
	methodNotAllowed reason = "METHOD_NOT_ALLOWED"
	unsupportedMedia reason = "UNSUPPORTED_MEDIA_TYPE"
	malformedJSON    reason = "MALFORMED_JSON"
	malformedText    reason = "MALFORMED_TEXT"
	malformedQuery   reason = "MALFORMED_QUERY"
	incompleteBody   reason = "INCOMPLETE_BODY"
	bodyTooLarge     reason = "BODY_TOO_LARGE"
	slowBody         reason = "BODY_TOO_SLOW"
	longKey          reason = "IDEMPOTENCY_KEY_TOO_LONG"
	unauthenticated  reason = auth.ReasonUnauthenticated
	forbidden        reason = "FORBIDDEN"
	versionMismatch  reason = "VERSION_MISMATCH"
	throttled        reason = "THROTTLED"
	unavailable      reason = "UNAVAILABLE"
	internalError    reason = fault.ReasonInternal
	keyReused        reason = "IDEMPOTENCY_KEY_REUSED"
	keyInFlight      reason = "IDEMPOTENCY_KEY_IN_FLIGHT"
	refusedForGood   reason = "REFUSED"
	hostNotAllowed   reason = "HOST_NOT_ALLOWED"

	scopeMissing     reason = access.ReasonScope
	notYourself      reason = access.ReasonNotYourself
	crossOrigin      reason = auth.ReasonCrossOrigin
	tlsRequired      reason = auth.ReasonTLSRequired
	credentialOdd    reason = auth.ReasonCredential
	credentialsMany  reason = auth.ReasonCredentials
	keyUnknown       reason = auth.ReasonKeyUnknown
	keyExpired       reason = "KEY_EXPIRED"
	keyRevoked       reason = "KEY_REVOKED"
	keyEnded         reason = "KEY_ENDED"
	keyRotated       reason = "KEY_ROTATED"
	userInactive     reason = auth.ReasonUserInactive
	sessionUnknown   reason = "SESSION_UNKNOWN"
	sessionExpired   reason = "SESSION_EXPIRED"
	tokenInvalid     reason = auth.ReasonTokenInvalid
	tokenExpired     reason = auth.ReasonTokenExpired
	tokenWithoutRole reason = auth.ReasonTokenRole
	issuerAway       reason = auth.ReasonIssuerAway
	signInFailed     reason = "SIGN_IN_FAILED"
	signInTooOften   reason = "SIGN_IN_TOO_OFTEN"
	linkInvalid      reason = "LINK_INVALID"
	adminExists      reason = "ADMIN_EXISTS"
	rateLimited      reason = "RATE_LIMITED"
	tooManyAtOnce    reason = "TOO_MANY_AT_ONCE"
)

// What else is said to a person.
const (
	nobodyLoggedIn  reason = "NOBODY_LOGGED_IN"
	noRecording     reason = "NO_RECORDING"
	saidCancelled   reason = "SAID_CANCELLED"
	saidSync        reason = "SAID_SYNC_STARTED"
	saidSyncAll     reason = "SAID_SYNC_ALL_STARTED"
	saidVerify      reason = "SAID_VERIFICATION_STARTED"
	saidShare       reason = "SAID_SHARING_STARTED"
	saidDeactivated reason = "SAID_DEACTIVATED"
	saidActivated   reason = "SAID_ACTIVATED"
	saidPassword    reason = "SAID_PASSWORD_CHANGED"
	saidWelcome     reason = "SAID_WELCOME"
	saidProject     reason = "SAID_PROJECT"
	saidSignedOut   reason = "SAID_SIGNED_OUT"
)

// wording is one sentence in both languages; {name} stands for a parameter.
type wording struct{ es, en string }

// texts are the words of Django REST Framework's own catalogues where it has the sentence.
var texts = map[reason]wording{
	required:          {"Este campo es requerido.", "This field is required."},
	null:              {"Este campo no puede ser nulo.", "This field may not be null."},
	blank:             {"Este campo no puede estar en blanco.", "This field may not be blank."},
	notAString:        {"No es una cadena válida.", "Not a valid string."},
	notAList:          {`Se esperaba una lista de elementos en vez del tipo "{type}".`, `Expected a list of items but got type "{type}".`},
	notAnObject:       {"Datos inválidos. Se esperaba un diccionario pero es un {type}.", "Invalid data. Expected a dictionary, but got {type}."},
	notABoolean:       {"Debe ser un booleano válido.", "Must be a valid boolean."},
	notAnInteger:      {"Introduzca un número entero válido.", "A valid integer is required."},
	tooLarge:          {"Asegúrese de que este valor es menor o igual a {max}.", "Ensure this value is less than or equal to {max}."},
	tooSmall:          {"Asegúrese de que este valor es mayor o igual a {min}.", "Ensure this value is greater than or equal to {min}."},
	notATime:          {"Fecha/hora con formato erróneo. Use uno de los siguientes formatos en su lugar: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z].", "Datetime has wrong format. Use one of these formats instead: YYYY-MM-DDThh:mm[:ss[.uuuuuu]][+HH:MM|-HH:MM|Z]."},
	timeOutOfRange:    {"Valor de fecha/hora fuera de rango.", "Datetime value out of range."},
	invalidEmail:      {"Introduzca una dirección de correo electrónico válida.", "Enter a valid email address."},
	tooLong:           {"Asegúrese de que este campo no tenga más de {max} caracteres.", "Ensure this field has no more than {max} characters."},
	emptyList:         {"Esta lista no puede estar vacía.", "This list may not be empty."},
	tooMany:           {"Asegúrese de que este campo no tenga más de {max} elementos.", "Ensure this field has no more than {max} elements."},
	duplicateEmails:   {"Las direcciones no se pueden repetir, tampoco con otras mayúsculas.", "Addresses may not be repeated, not even in another case."},
	endNotAfterStart:  {"La hora de fin debe ser posterior a la hora de inicio.", "The end must be after the start."},
	invalidChoice:     {`"{value}" no es una elección válida.`, `"{value}" is not a valid choice.`},
	unknownTimeZone:   {"No es una zona horaria conocida; use un nombre IANA como America/Bogota.", "Not a known time zone; use an IANA name such as America/Bogota."},
	noRecurrence:      {"Las reuniones periódicas aún no se admiten.", "Recurring meetings are not supported yet."},
	nullCharacter:     {"Los caracteres nulos no están permitidos.", "Null characters are not allowed."},
	controlCharacter:  {"Los caracteres de control no están permitidos.", "Control characters are not allowed."},
	notUTF8:           {"El texto no es UTF-8 válido.", "The text is not valid UTF-8."},
	invalidUsername:   {"Introduzca un nombre de usuario válido. Este valor solo puede contener letras, números y los caracteres @/./+/-/_ .", "Enter a valid username. This value may contain only letters, numbers, and @/./+/-/_ characters."},
	usernameTaken:     {"Ya existe un usuario con este nombre.", "A user with that username already exists."},
	emailTaken:        {"Ya existe un usuario con este correo electrónico.", "A user with that email already exists."},
	passwordTooShort:  {"Esta contraseña es demasiado corta. Debe contener al menos {min} caracteres.", "This password is too short. It must contain at least {min} characters."},
	passwordTooCommon: {"Esta contraseña es demasiado común.", "This password is too common."},
	passwordNumeric:   {"Esta contraseña es completamente numérica.", "This password is entirely numeric."},
	passwordSimilar:   {"La contraseña es demasiado similar a la de {attribute_es}.", "The password is too similar to the {attribute_en}."},
	passwordMismatch:  {"Las contraseñas no coinciden.", "The passwords do not match."},
	wrongPassword:     {"La contraseña actual no es correcta.", "The current password is not right."},
	filterNotANumber:  {"Introduzca un número.", "Enter a number."},
	filterNotATime:    {"Introduzca una fecha/hora válida.", "Enter a valid date/time."},
	filterNotAChoice:  {"Escoja una opción válida. {value} no es una de las opciones disponibles.", "Select a valid choice. {value} is not one of the available choices."},
	outOfRange:        {"Introduzca un número entre {min} y {max}.", "Enter a number between {min} and {max}."},
	badPageToken:      {"Este valor no es de una página anterior de la misma lista.", "This value is not from an earlier page of the same list."},
	guestCount:        {"Una reunión tiene entre 1 y 200 invitados.", "A meeting has 1 to 200 guests."},
	tooLongToStore:    {"Este valor es demasiado largo.", "This value is too long."},
	meetingCancelled:  {"La reunión está cancelada y ya no puede cambiar.", "The meeting is cancelled and can no longer change."},
	organizerStays:    {"El organizador no se puede quitar de la reunión.", "The organizer can't be removed from the meeting."},
	noScheduledStart:  {"La reunión no tiene hora de inicio programada.", "The meeting has no scheduled start."},
	notExported:       {"La grabación no tiene una copia exportada.", "The recording has no exported copy."},
	noFile:            {"La grabación no tiene un archivo en Drive.", "The recording has no file in Drive."},
	invalidValue:      {"Valor inválido.", "Invalid value."},

	notFound:         {"No encontrado.", "Not found."},
	methodNotAllowed: {`Método "{method}" no permitido.`, `Method "{method}" not allowed.`},
	unsupportedMedia: {`Tipo de medio "{media_type}" incompatible en la solicitud.`, `Unsupported media type "{media_type}" in request.`},
	malformedJSON:    {"El cuerpo no es JSON válido (byte {offset}).", "JSON parse error at byte {offset}."},
	malformedText:    {"El cuerpo no es UTF-8 válido.", "The body is not valid UTF-8."},
	malformedQuery:   {"La cadena de consulta de la URL no es válida.", "The query string of the URL is not valid."},
	incompleteBody:   {"El cuerpo de la solicitud llegó incompleto.", "The body of the request came incomplete."},
	bodyTooLarge:     {"El cuerpo de la solicitud supera {max} bytes.", "The body of the request is larger than {max} bytes."},
	slowBody:         {"El cuerpo de la solicitud no llegó a tiempo.", "The body of the request did not come in time."},
	longKey:          {"La cabecera Idempotency-Key debe tener entre 1 y 255 caracteres.", "The Idempotency-Key header must have 1 to 255 characters."},
	unauthenticated:  {"Las credenciales de autenticación no se proveyeron.", "Authentication credentials were not provided."},
	forbidden:        {"Usted no tiene permiso para realizar esta acción.", "You do not have permission to perform this action."},
	versionMismatch:  {"La versión indicada en If-Match no es la actual.", "The version in If-Match is not the current one."},
	throttled:        {"Solicitud fue regulada (throttled).", "Request was throttled."},
	unavailable:      {"El servicio no está disponible por ahora. Vuelva a intentarlo.", "The service is not available at the moment. Try again."},
	internalError:    {"Se ha producido un error en el servidor.", "A server error occurred."},
	keyReused:        {"Esta Idempotency-Key ya se usó con otra solicitud.", "This Idempotency-Key was used with another request."},
	keyInFlight:      {"La primera solicitud con esta Idempotency-Key aún se está procesando.", "The first request with this Idempotency-Key is still being carried out."},
	hostNotAllowed:   {"La cabecera Host no nombra este servicio; si es uno de sus nombres, agréguelo a ALLOWED_HOSTS.", "The Host header does not name this service; if it is one of its names, add it to ALLOWED_HOSTS."},
	refusedForGood:   {"Google rechazó la solicitud.", "Google refused the request."},

	scopeMissing:     {"Esta credencial no tiene el permiso (scope) {scope}.", "This credential lacks the scope {scope}."},
	notYourself:      {"Solo puede organizar reuniones con su propia dirección.", "You may organize meetings with your own address only."},
	crossOrigin:      {"Una página de otro sitio no puede hacer esto.", "A page of another site may not do this."},
	tlsRequired:      {"Las contraseñas solo se aceptan por https.", "Passwords are taken over https only."},
	credentialOdd:    {"La credencial enviada no es de un tipo conocido.", "The credential that was sent is of no known kind."},
	credentialsMany:  {"Se envió más de una credencial.", "More than one credential was sent."},
	keyUnknown:       {"La clave de API no se conoce.", "The API key is not known."},
	keyExpired:       {"La clave de API ha vencido.", "The API key has expired."},
	keyRevoked:       {"La clave de API fue revocada.", "The API key was revoked."},
	keyEnded:         {"La clave de API ya no está activa; cree una nueva.", "The API key is active no longer; make a new one."},
	keyRotated:       {"La clave de API ya fue reemplazada; reemplace la que ocupó su lugar.", "The API key was rotated before; rotate the one that took its place."},
	userInactive:     {"El usuario de esta credencial no está activo.", "The user of this credential is not active."},
	sessionUnknown:   {"La sesión no se conoce; inicie sesión.", "The session is not known; sign in."},
	sessionExpired:   {"La sesión terminó; inicie sesión.", "The session has ended; sign in."},
	tokenInvalid:     {"El token no es válido.", "The token is not valid."},
	tokenExpired:     {"El token ha vencido.", "The token has expired."},
	tokenWithoutRole: {"El token no nombra ningún rol de este servicio.", "The token names no role of this service."},
	issuerAway:       {"No se puede consultar al emisor del token. Vuelva a intentarlo.", "The issuer of the token cannot be reached. Try again."},
	signInFailed:     {"El nombre y la contraseña no coinciden.", "Name and password do not belong together."},
	signInTooOften:   {"Demasiados intentos de iniciar sesión; espere.", "Too many tries to sign in; wait."},
	linkInvalid:      {"Este enlace no funciona, o ya no.", "This link does not work, or works no longer."},
	adminExists:      {"Ya hay un administrador; pídale que lo haga a usted.", "There is an admin already; let him make you one."},
	rateLimited:      {"Demasiadas solicitudes; la cabecera RateLimit-Policy dice cuántas.", "Too many requests; the RateLimit-Policy header says how many."},
	tooManyAtOnce:    {"Se están respondiendo demasiadas solicitudes suyas a la vez.", "Too many requests of yours are being answered at once."},

	saidSignedOut:   {"La sesión terminó.", "The session has ended."},
	nobodyLoggedIn:  {"No hay un usuario autenticado.", "Nobody is logged in."},
	noRecording:     {"La reunión no tiene grabación.", "The meeting has no recording."},
	saidCancelled:   {"La reunión fue cancelada.", "The meeting was cancelled."},
	saidSync:        {"La sincronización de la grabación fue iniciada.", "The synchronization of the recording was started."},
	saidSyncAll:     {"La sincronización de las grabaciones fue iniciada.", "The synchronization of the recordings was started."},
	saidVerify:      {"La verificación de la grabación fue iniciada.", "The verification of the recording was started."},
	saidShare:       {"Se empezó a compartir la grabación.", "The sharing of the recording was started."},
	saidDeactivated: {"El usuario fue desactivado.", "The user was deactivated."},
	saidActivated:   {"El usuario fue activado.", "The user was activated."},
	saidPassword:    {"La contraseña fue cambiada.", "The password was changed."},
	saidWelcome:     {"Meet Middleware: reuniones de Google Meet a pedido, grabadas y comprobables.", "Meet Middleware: Google Meet sessions on request, recorded and provable."},
	saidProject:     {"Crea reuniones de Google Meet a pedido de otros sistemas, las graba y guarda la prueba.", "Makes Google Meet sessions for other systems on request, records them and keeps the proof."},
}

// statuses is the HTTP status of each kind of fault on this surface, and the sentence when the fault's own reason has none.
var statuses = map[fault.Kind]struct {
	status int
	reason reason
}{
	fault.Invalid:         {http.StatusBadRequest, invalidValue},
	fault.NotFound:        {http.StatusNotFound, notFound},
	fault.Conflict:        {http.StatusBadRequest, invalidValue}, // a state that forbids it was always a 400 here
	fault.VersionMismatch: {http.StatusPreconditionFailed, versionMismatch},
	fault.AlreadyExists:   {http.StatusBadRequest, invalidValue},
	fault.Unauthenticated: {http.StatusUnauthorized, unauthenticated},
	fault.Forbidden:       {http.StatusForbidden, forbidden},
	fault.Exhausted:       {http.StatusTooManyRequests, throttled},
	fault.Unavailable:     {http.StatusServiceUnavailable, unavailable},
	fault.Refused:         {http.StatusBadGateway, refusedForGood},
	fault.Expired:         {http.StatusServiceUnavailable, unavailable},
	fault.KeyReused:       {http.StatusUnprocessableEntity, keyReused},
	fault.InFlight:        {http.StatusConflict, keyInFlight},
	fault.Internal:        {http.StatusInternalServerError, internalError},
}

// refusal is what is refused by HTTP alone, before anything of the product is asked.
type refusal struct {
	status int
	reason reason
	params map[string]string
}

func (r *refusal) Error() string { return string(r.reason) }

func refuse(status int, why reason, params ...string) *refusal {
	return &refusal{status: status, reason: why, params: paramsOf(params)}
}

// paramsOf makes a map of names and values in turn; nil of none.
func paramsOf(pairs []string) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	params := make(map[string]string, len(pairs)/2)
	for i := 0; i+1 < len(pairs); i += 2 {
		params[pairs[i]] = pairs[i+1]
	}
	return params
}

// wrong is one wrong field; params are names and values in turn.
func wrong(path string, why reason, params ...string) fault.Field {
	f := fault.Field{Path: path, Reason: string(why), Params: paramsOf(params)}
	f.Text = sentence(English, why, f.Params)
	return f
}

// sentence is the text of why in a language; empty when why is not among the texts.
func sentence(l Language, why reason, params map[string]string) string {
	t := texts[why]
	s := t.es
	if l == English {
		s = t.en
	}
	for name, value := range params {
		s = strings.ReplaceAll(s, "{"+name+"}", value)
	}
	return s
}

// readFailure says why a body could not be read.
func readFailure(err error) error {
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		return refuse(http.StatusRequestEntityTooLarge, bodyTooLarge, "max", strconv.FormatInt(tooLarge.Limit, 10))
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refuse(http.StatusRequestTimeout, slowBody)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return refuse(http.StatusBadRequest, incompleteBody)
	}
	return refuse(http.StatusBadRequest, incompleteBody)
}

// Retry-After in seconds where the fault names none.
const (
	retryUnavailable = "2"
	retryInFlight    = "1"
	retryThrottled   = "10"
)

// Refuse answers r with err in the shape of this surface: what a client may know of it and nothing else.
func (a *API) Refuse(w http.ResponseWriter, r *http.Request, err error) {
	(&exchange{api: a, w: w, r: r}).refuse(err)
}

func (x *exchange) refuse(err error) {
	var byHTTP *refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &byHTTP):
		x.detail(byHTTP.status, byHTTP.reason, byHTTP.params)
		return
	case errors.As(err, &tooLarge):
		x.refuse(readFailure(err))
		return
	case x.r.Context().Err() != nil && fault.KindOf(err) == fault.Internal:
		// The client has gone or the time of the whole request is up: no failure of ours.
		err = fault.New(fault.Unavailable, string(unavailable), "the request ended").WithCause(err)
	}
	f := fault.Of(err)
	known := statuses[f.Kind]
	if known.status == 0 {
		known = statuses[fault.Internal]
	}
	header := x.w.Header()
	switch f.Kind {
	case fault.Invalid, fault.Conflict, fault.AlreadyExists:
		if f.Reason == string(hostNotAllowed) {
			break // of no field and of no state: said as what is wrong with the request
		}
		x.fields(known.status, f)
		return
	case fault.InFlight, fault.KeyReused:
		if f.Kind == fault.InFlight {
			header.Set("Retry-After", retryAfter(f, retryInFlight))
		}
		x.problem(known.status, known.reason, f)
		return
	case fault.Refused:
		x.write(known.status, refusedBody{Error: x.faultText(f, known.reason), Code: f.Reason, MeetingID: meetingOf(f)})
		return
	case fault.VersionMismatch:
		if etag := f.Meta["etag"]; etag != "" {
			header.Set("ETag", etag)
		}
	case fault.Unauthenticated:
		header.Set("WWW-Authenticate", auth.Challenge)
		if routePath(x.r) == mePath {
			x.write(known.status, Message{Message: x.say(nobodyLoggedIn)})
			return
		}
	case fault.Exhausted:
		header.Set("Retry-After", retryAfter(f, retryThrottled))
	case fault.Unavailable, fault.Expired:
		header.Set("Retry-After", retryAfter(f, retryUnavailable))
		x.api.log.WarnContext(x.r.Context(), "request could not be served", "error", err)
	case fault.Internal:
		x.api.log.ErrorContext(x.r.Context(), "request failed", "error", err)
	case fault.NotFound, fault.Forbidden:
	}
	why := known.reason
	if _, said := texts[reason(f.Reason)]; said {
		why = reason(f.Reason)
	}
	x.detail(known.status, why, f.Meta)
}

func retryAfter(f *fault.Fault, otherwise string) string {
	if after := f.Meta[fault.MetaRetryAfter]; after != "" {
		return after
	}
	return otherwise
}

// meetingOf is the meeting that a fault names; nil when it names none.
func meetingOf(f *fault.Fault) *int64 {
	id, err := strconv.ParseInt(f.Meta["meeting_id"], 10, 64)
	if err != nil {
		return nil
	}
	return &id
}

// faultText is the fault's sentence in the caller's language, its own English text where the reason has none here.
func (x *exchange) faultText(f *fault.Fault, otherwise reason) string {
	if s := sentence(x.language(), reason(f.Reason), f.Meta); s != "" {
		return s
	}
	if f.Text != "" {
		return f.Text
	}
	return sentence(x.language(), otherwise, nil)
}

// detail answers with {"detail": …}.
func (x *exchange) detail(status int, why reason, params map[string]string) {
	x.write(status, detailBody{Detail: sentence(x.language(), why, params)})
}

// problem answers with a problem document, as draft-ietf-httpapi-idempotency-key-header asks.
func (x *exchange) problem(status int, why reason, f *fault.Fault) {
	x.w.Header().Set("Content-Type", "application/problem+json")
	x.write(status, problemBody{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: sentence(x.language(), why, nil), Code: f.Reason,
	})
}

// fields answers with the messages of each field, or of none.
func (x *exchange) fields(status int, f *fault.Fault) {
	fields := f.Fields
	if len(fields) == 0 {
		fields = []fault.Field{{Reason: f.Reason, Text: f.Text, Params: f.Meta}}
	}
	root := new(messageTree)
	for _, field := range fields {
		message := sentence(x.language(), reason(field.Reason), field.Params)
		if message == "" {
			message = field.Text
		}
		if message == "" {
			message = sentence(x.language(), invalidValue, nil)
		}
		root.add(pathOf(field.Path), message)
	}
	x.write(status, root)
}

// pathOf takes "invited_emails[3]" and "meeting.summary" apart; of the whole it is "non_field_errors".
func pathOf(path string) []string {
	if path == "" {
		return []string{"non_field_errors"}
	}
	return strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}

// messageTree is messages by field, in the order they came: a list of texts at a leaf, else an object of its parts. Where a
// field is wrong as a whole, its parts are not told of.
type messageTree struct {
	names    []string
	parts    []*messageTree
	messages []string
}

func (t *messageTree) add(path []string, message string) {
	if len(path) == 0 {
		t.messages = append(t.messages, message)
		return
	}
	for i, name := range t.names {
		if name == path[0] {
			t.parts[i].add(path[1:], message)
			return
		}
	}
	part := new(messageTree)
	part.add(path[1:], message)
	t.names, t.parts = append(t.names, path[0]), append(t.parts, part)
}

// MarshalJSON keeps the order.
func (t *messageTree) MarshalJSON() ([]byte, error) {
	if len(t.messages) > 0 {
		return encode(t.messages)
	}
	out := []byte{'{'}
	for i, name := range t.names {
		if i > 0 {
			out = append(out, ',')
		}
		key, err := encode(name)
		if err != nil {
			return nil, err
		}
		part, err := t.parts[i].MarshalJSON()
		if err != nil {
			return nil, err
		}
		out = append(append(append(out, key...), ':'), part...)
	}
	return append(out, '}'), nil
}
