package compat

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/meet-middleware/meet-middleware/pkg/browsertest"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

func TestTheDocumentationPagesWorkInABrowserWithNoOutsideHost(t *testing.T) {
	api := newREST(t).api
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		api.ServeHTTP(w, r.WithContext(auth.With(r.Context(), auth.LocalAdmin)))
	}))
	t.Cleanup(server.Close)
	for name, page := range map[string]struct{ path, shows string }{
		"Swagger UI":     {"/api/v1/docs/", "Make a meeting and its Google Meet link"},
		"ReDoc":          {"/api/v1/redoc/", "Make a meeting and its Google Meet link"},
		"the plain page": {"/admin/", "Swagger UI"},
		"sign-in":        {"/login/", "Password"},
	} {
		t.Run(name, func(t *testing.T) {
			var text string
			p := browsertest.Open(t, server.URL+page.path,
				chromedp.Poll(`document.body.innerText.includes(`+"`"+page.shows+"`"+`)`, nil),
				chromedp.Text("body", &text))
			if !strings.Contains(text, page.shows) {
				t.Errorf("the page does not show %q", page.shows)
			}
			p.Clean(t)
		})
	}
}
