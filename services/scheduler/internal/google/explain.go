package google

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/oauth2"
	"google.golang.org/api/googleapi"

	"github.com/meet-middleware/meet-middleware/services/scheduler/internal/job"
)

// Explanation is what an error of Google's clients means, for who asks Google beside the jobs. No secret is in it.
type Explanation struct {
	// Code is one of the codes of failures.
	Code string
	// Status of the answer; 0 when there was none.
	Status int
	// Said are Google's own words, or the network's.
	Said string
	// Service and ActivationURL of an API that is not enabled; the URL is empty when Google gave none.
	Service, ActivationURL string
}

// ExplainToken explains what a token source returned; nil is an answer without a token.
func ExplainToken(ctx context.Context, err error) Explanation {
	var e *oauth2.RetrieveError
	switch {
	case err == nil:
		return Explanation{Code: CodeScopeMissing, Status: http.StatusOK, Said: errNoToken.Error()}
	case !errors.As(err, &e):
		return Explanation{Code: tokenFailure(ctx, err).Code, Said: quote(err.Error())}
	}
	var body struct {
		Description string `json:"error_description"`
	}
	_ = json.Unmarshal(e.Body, &body) // a proxy's page has none
	return Explanation{Code: tokenFailure(ctx, err).Code, Status: e.Response.StatusCode, Said: quote(body.Description)}
}

// ExplainCall explains the error of an API call.
func ExplainCall(ctx context.Context, err error) Explanation {
	var f *job.Failure
	if !errors.As(err, &f) {
		f = callFailure(ctx, err)
	}
	var e *googleapi.Error
	if !errors.As(err, &e) {
		return Explanation{Code: f.Code, Said: quote(err.Error())}
	}
	x := Explanation{Code: f.Code, Status: e.Code, Said: quote(e.Message)}
	if f.Code == CodeAPIDisabled {
		x.Service = metadata(e, "service")
		if url := metadata(e, "activationUrl"); strings.HasPrefix(url, "https://") {
			x.ActivationURL = url
		}
	}
	return x
}
