package googlefake

import (
	"encoding/json"
	"net/http"
	"strconv"
)

// dialect is the shape in which one of Google's surfaces writes its errors.
type dialect uint8

const (
	classic  dialect = iota + 1 // Calendar, Drive: an errors[] list with a reason each
	platform                    // Meet and the newer APIs: a google.rpc status with typed details
	oauth                       // the token endpoint: RFC 6749 §5.2
	control                     // the emulator's own routes
)

// apiError is a refusal, written in the dialect of the route that refuses.
type apiError struct {
	status       int
	reason       string // classic reason, ErrorInfo reason, or OAuth error code
	message      string
	detail       string // message inside errors[] where it differs from message
	domain       string // of the classic reason; "" is "global"
	location     string
	locationType string
	grpc         string            // the status's name, where the HTTP status does not say it
	rpc          bool              // classic errors of Google's front end also carry status and details
	info         map[string]string // metadata of an ErrorInfo, whose reason is infoReason
	infoReason   string
	field        string     // what is wrong, for BadRequest details and control routes
	retryAfter   RetryAfter // header, when set
}

func (e *apiError) Error() string {
	return strconv.Itoa(e.status) + " " + e.reason + ": " + e.message
}

type classicItem struct {
	Domain       string `json:"domain"`
	Reason       string `json:"reason"`
	Message      string `json:"message"`
	LocationType string `json:"locationType,omitempty"`
	Location     string `json:"location,omitempty"`
}

type errorBody struct {
	Code    int           `json:"code"`
	Message string        `json:"message"`
	Errors  []classicItem `json:"errors,omitempty"`
	Status  string        `json:"status,omitempty"`
	Details []any         `json:"details,omitempty"`
	Field   string        `json:"field,omitempty"` // control routes only
}

type errorInfo struct {
	Type     string            `json:"@type"`
	Reason   string            `json:"reason"`
	Domain   string            `json:"domain"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

type badRequest struct {
	Type            string           `json:"@type"`
	FieldViolations []fieldViolation `json:"fieldViolations"`
}

type fieldViolation struct {
	Field       string `json:"field"`
	Description string `json:"description"`
}

type oauthBody struct {
	Error       string `json:"error"`
	Description string `json:"error_description,omitempty"`
}

// body writes e as the surface d would.
func (e *apiError) body(d dialect) []byte {
	if d == oauth {
		return mustJSON(oauthBody{Error: e.reason, Description: e.message})
	}
	b := errorBody{Code: e.status, Message: e.message}
	switch d {
	case classic:
		item := classicItem{Domain: e.domain, Reason: e.reason, Message: e.message, Location: e.location, LocationType: e.locationType}
		if item.Domain == "" {
			item.Domain = "global"
		}
		if e.detail != "" {
			item.Message = e.detail
		}
		b.Errors = []classicItem{item}
		if e.rpc {
			b.Status = rpcStatus(e.status)
		}
	case control:
		b.Field = e.field
	case platform, oauth: // oauth was written above
		b.Status = rpcStatus(e.status)
		if e.field != "" {
			b.Details = append(b.Details, badRequest{
				Type:            "type.googleapis.com/google.rpc.BadRequest",
				FieldViolations: []fieldViolation{{Field: e.field, Description: e.message}},
			})
		}
	}
	if e.grpc != "" {
		b.Status = e.grpc
	}
	if e.infoReason != "" {
		b.Details = append(b.Details, errorInfo{
			Type: "type.googleapis.com/google.rpc.ErrorInfo", Reason: e.infoReason, Domain: "googleapis.com", Metadata: e.info,
		})
	}
	return mustJSON(map[string]errorBody{"error": b})
}

// mustJSON encodes values of this package's own types, which have no way to fail.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("googlefake: encode " + err.Error())
	}
	return b
}

// rpcStatus is the google.rpc.Code name that Google's HTTP mapping gives a status.
func rpcStatus(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "INVALID_ARGUMENT"
	case http.StatusUnauthorized:
		return "UNAUTHENTICATED"
	case http.StatusForbidden:
		return "PERMISSION_DENIED"
	case http.StatusNotFound, http.StatusGone:
		return "NOT_FOUND"
	case http.StatusConflict:
		return "ABORTED"
	case http.StatusPreconditionFailed:
		return "FAILED_PRECONDITION"
	case http.StatusTooManyRequests:
		return "RESOURCE_EXHAUSTED"
	case http.StatusInternalServerError:
		return "INTERNAL"
	case http.StatusNotImplemented:
		return "UNIMPLEMENTED"
	case http.StatusBadGateway, http.StatusServiceUnavailable:
		return "UNAVAILABLE"
	case http.StatusGatewayTimeout:
		return "DEADLINE_EXCEEDED"
	default:
		return "UNKNOWN"
	}
}

func notFound() *apiError {
	return &apiError{status: http.StatusNotFound, reason: "notFound", message: "Not Found"}
}

func invalid(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, reason: "invalid", message: message}
}

func required(message string) *apiError {
	return &apiError{status: http.StatusBadRequest, reason: "required", message: message}
}

func invalidParameter(name, value string) *apiError {
	return &apiError{
		status: http.StatusBadRequest, reason: "invalidParameter", location: name, locationType: "parameter",
		message: "Invalid value '" + value + "' for parameter " + name + ".",
	}
}

// usageDomain is the domain of Calendar's quota reasons.
const usageDomain = "usageLimits"

// typical is the error that the surface d most often means by status: what a fault answers when it
// does not say more. reason and message replace the usual ones when given.
func typical(d dialect, status int, reason, message string) *apiError {
	e := &apiError{status: status, message: http.StatusText(status)}
	switch d {
	case oauth:
		e.reason = oauthReason(status)
	case classic:
		typicalClassic(e)
	case platform, control:
		typicalPlatform(e)
	}
	if reason != "" {
		if d == platform {
			e.infoReason, e.info = reason, nil
		}
		e.reason = reason
		e.detail = ""
		if m := usualMessage(d, reason); m != "" {
			e.message = m
		}
		e.domain = ""
		if usual := usageReasons()[reason]; usual {
			e.domain = usageDomain
		}
	} else if m := usualMessage(d, e.reason); m != "" {
		e.message = m
	}
	if message != "" {
		e.message, e.detail = message, ""
	}
	return e
}

// explain adds the details that Google sends with the two reasons that a person must act on.
func (e *apiError) explain(rt *route) {
	switch e.reason {
	case "accessNotConfigured", "SERVICE_DISABLED":
		e.rpc, e.infoReason = true, "SERVICE_DISABLED"
		e.info = map[string]string{
			"service": rt.service, "consumer": "projects/" + projectID,
			"activationUrl": "https://console.developers.google.com/apis/api/" + rt.service + "/overview?project=" + projectID,
		}
	case "insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT":
		e.rpc, e.infoReason = true, "ACCESS_TOKEN_SCOPE_INSUFFICIENT"
		e.info = map[string]string{"service": rt.service, "method": rt.rpc}
	}
}

func typicalClassic(e *apiError) {
	switch e.status {
	case http.StatusBadRequest:
		e.reason = "badRequest"
	case http.StatusUnauthorized:
		*e = *unauthenticated()
	case http.StatusForbidden:
		e.reason = "forbidden"
	case http.StatusNotFound:
		e.reason = "notFound"
	case http.StatusConflict:
		e.reason = "duplicate"
	case http.StatusGone:
		e.reason = "deleted"
	case http.StatusPreconditionFailed:
		e.reason = "conditionNotMet"
	case http.StatusTooManyRequests:
		e.reason, e.domain = "rateLimitExceeded", usageDomain
	case http.StatusInternalServerError:
		e.reason = "internalError"
	default:
		e.reason = "backendError"
	}
}

func typicalPlatform(e *apiError) {
	switch e.status {
	case http.StatusBadRequest:
		e.message = "Request contains an invalid argument."
	case http.StatusUnauthorized:
		*e = *unauthenticated()
	case http.StatusForbidden:
		e.message = "The caller does not have permission"
	case http.StatusNotFound:
		e.message = "Requested entity was not found."
	case http.StatusTooManyRequests:
		e.message = "Resource has been exhausted (e.g. check quota)."
		e.infoReason = "RATE_LIMIT_EXCEEDED"
	case http.StatusInternalServerError:
		e.message = "Internal error encountered."
	case http.StatusServiceUnavailable, http.StatusBadGateway:
		e.message = "The service is currently unavailable."
	case http.StatusGatewayTimeout:
		e.message = "Deadline expired before operation could complete."
	}
}

func oauthReason(status int) string {
	switch status {
	case http.StatusUnauthorized:
		return "unauthorized_client"
	case http.StatusForbidden:
		return "access_denied"
	case http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	case http.StatusServiceUnavailable:
		return "temporarily_unavailable"
	}
	if status >= http.StatusInternalServerError {
		return "internal_failure"
	}
	return "invalid_grant"
}

// usageReasons are the classic reasons that Google files under usageLimits.
func usageReasons() map[string]bool {
	return map[string]bool{
		"rateLimitExceeded": true, "userRateLimitExceeded": true, "quotaExceeded": true,
		"dailyLimitExceeded": true, "accessNotConfigured": true,
	}
}

// usualMessage is the text that Google sends with a reason, "" where the status's text will do.
func usualMessage(d dialect, reason string) string {
	if d == oauth {
		return map[string]string{
			"unauthorized_client":     msgUnauthorizedClient,
			"invalid_grant":           msgInvalidUser,
			"invalid_request":         "Invalid impersonation prn email address",
			"invalid_scope":           msgEmptyScope,
			"access_denied":           "Requested client not authorized",
			"invalid_client":          "The OAuth client was not found.",
			"disabled_client":         "The OAuth client was disabled.",
			"rate_limit_exceeded":     "Rate Limit Exceeded",
			"temporarily_unavailable": "The service is currently unavailable.",
			"internal_failure":        "Internal error encountered.",
		}[reason]
	}
	return map[string]string{
		"badRequest":                      "Bad Request",
		"forbidden":                       "Forbidden",
		"notFound":                        "Not Found",
		"duplicate":                       msgDuplicate,
		"conflict":                        "Conflict",
		"deleted":                         msgDeleted,
		"fullSyncRequired":                msgFullSync,
		"updatedMinTooLongAgo":            "The requested minimum modification time lies too far in the past.",
		"conditionNotMet":                 msgCondition,
		"rateLimitExceeded":               "Rate Limit Exceeded",
		"userRateLimitExceeded":           "User Rate Limit Exceeded",
		"quotaExceeded":                   "Calendar usage limits exceeded.",
		"backendError":                    "Backend Error",
		"internalError":                   "Internal Error",
		"forbiddenForNonOrganizer":        "Shared properties can only be changed by the organizer of the event.",
		"forbiddenForServiceAccounts":     msgServiceAccountGuests,
		"requiredAccessLevel":             "You need to have writer access to this calendar.",
		"insufficientPermissions":         msgScope,
		"accessNotConfigured":             msgDisabled,
		"SERVICE_DISABLED":                msgDisabled,
		"ACCESS_TOKEN_SCOPE_INSUFFICIENT": msgScope,
		"authError":                       "Invalid Credentials",
	}[reason]
}

// Texts that Google sends, word for word.
const (
	msgUnauthorizedClient   = "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of the scopes requested."
	msgInvalidUser          = "Invalid email or User ID"
	msgNotAnEmail           = "Not a valid email"
	msgInvalidSignature     = "Invalid JWT Signature."
	msgAccountNotFound      = "Invalid grant: account not found"
	msgNotShortLived        = "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat and exp values in the JWT claim."
	msgAudience             = "Invalid JWT: Failed audience check."
	msgEmptyScope           = "Invalid OAuth scope or ID token audience provided."
	msgDuplicate            = "The requested identifier already exists."
	msgDeleted              = "Resource has been deleted"
	msgFullSync             = "Sync token is no longer valid, a full sync is required."
	msgCondition            = "Precondition Failed"
	msgServiceAccountGuests = "Service accounts cannot invite attendees without Domain-Wide Delegation of Authority."
	msgScope                = "Request had insufficient authentication scopes."
	msgDisabled             = "This API has not been used in project " + projectID + " before or it is disabled. Enable it, wait a few minutes, and retry."
	msgConferenceType       = "Invalid conference type value."
	msgSpaceDenied          = "Permission denied on resource Space (or it might not exist)."
)

// unauthenticated is a bearer token that is wrong, expired or revoked.
func unauthenticated() *apiError {
	return &apiError{
		status: http.StatusUnauthorized, reason: "authError", rpc: true,
		message: "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
			"See https://developers.google.com/identity/sign-in/web/devconsole-project.",
		detail: "Invalid Credentials", location: "Authorization", locationType: "header",
	}
}

// missingCredentials is a request without a bearer token.
func missingCredentials() *apiError {
	return &apiError{
		status: http.StatusUnauthorized, reason: "required", rpc: true,
		message: "Request is missing required authentication credential. Expected OAuth 2 access token, login cookie or other valid authentication credential. " +
			"See https://developers.google.com/identity/sign-in/web/devconsole-project.",
		detail: "Login Required.", location: "Authorization", locationType: "header", infoReason: "CREDENTIALS_MISSING",
	}
}

// insufficientScope is a good token that lacks every scope that method (a gRPC name) accepts.
func insufficientScope(service, method string) *apiError {
	return &apiError{
		status: http.StatusForbidden, reason: "insufficientPermissions", rpc: true,
		message: msgScope, detail: "Insufficient Permission",
		infoReason: "ACCESS_TOKEN_SCOPE_INSUFFICIENT", info: map[string]string{"service": service, "method": method},
	}
}
