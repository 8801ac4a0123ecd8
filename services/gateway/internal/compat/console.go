package compat

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"github.com/meet-middleware/meet-middleware/pkg/fault"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
)

// Where people sign in and out, with forms and without a script.
const (
	consolePath    = "/admin/"
	loginPath      = "/login/"
	logoutPath     = "/logout/"
	firstAdminPath = "/first-admin/"
)

// formPolicy lets a page have a style and send a form, both here alone.
const formPolicy = "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"

// maxForm is the largest form, in bytes.
const maxForm = 16 << 10

// consolePage is what the pages for people are filled with.
type consolePage struct {
	Spanish bool
	Base    string
	Version string
	Open    bool
	// Principal and Role are who is signed in.
	Principal, Role string
	// Session: there is one to end.
	Session bool
	// Problems are what was wrong with the form, and the rest what it held, passwords aside.
	Problems               []string
	Login, Next            string
	Token, Username, Email string
	Done                   bool
}

func (a *API) consolePages() {
	a.page(consolePath, "Where things are.", a.adminPage)
	a.page(loginPath, "Sign in.", a.handler(a.loginPage))
	a.router.Post(loginPath, a.handler(a.loginForm))
	a.router.Post(logoutPath, a.handler(a.logoutForm))
	a.page(firstAdminPath, "Make the first admin.", a.handler(a.firstAdminPage))
	a.router.Post(firstAdminPath, a.handler(a.firstAdminForm))
}

func (a *API) handler(serve func(*exchange) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := &exchange{api: a, w: w, r: r}
		if err := serve(x); err != nil {
			x.refuse(err)
		}
	}
}

func (x *exchange) blank() consolePage {
	p := x.principal()
	page := consolePage{Spanish: x.language() == Spanish, Base: base, Open: x.api.build.AuthMode == "open", Principal: p.Name, Role: p.Role, Session: p.Mode == "session"}
	if p.Role != "" {
		page.Version = x.api.build.Version
	}
	return page
}

func (x *exchange) seeOther(path string) {
	x.w.Header().Set("Location", path)
	x.w.Header().Set("Cache-Control", "no-store")
	x.w.WriteHeader(http.StatusSeeOther)
}

// adminPage leads on, whoever has signed in.
func (a *API) adminPage(w http.ResponseWriter, r *http.Request) {
	x := &exchange{api: a, w: w, r: r}
	page := x.blank()
	if page.Role == "" {
		x.seeOther(loginPath)
		return
	}
	if err := x.html(http.StatusOK, "admin.html", formPolicy, page); err != nil {
		x.refuse(err)
	}
}

// nextOf is where to go after signing in: a page of ours, or the first one.
func nextOf(path string) string {
	for _, page := range []string{consolePath, base + "docs/", base + "redoc/"} {
		if path == page {
			return page
		}
	}
	return consolePath
}

func (a *API) loginPage(x *exchange) error {
	page := x.blank()
	page.Next = nextOf(x.r.URL.Query().Get("next"))
	return x.html(http.StatusOK, "login.html", formPolicy, page)
}

// form reads a form of ours.
func (x *exchange) form() (url.Values, error) {
	media, _, _ := strings.Cut(x.r.Header.Get("Content-Type"), ";")
	if !strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		return nil, refuse(http.StatusUnsupportedMediaType, unsupportedMedia, "media_type", printable(media))
	}
	x.r.Body = http.MaxBytesReader(x.w, x.r.Body, maxForm)
	if err := x.r.ParseForm(); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return nil, readFailure(err)
		}
		return nil, refuse(http.StatusBadRequest, malformedQuery)
	}
	return x.r.PostForm, nil
}

func (a *API) loginForm(x *exchange) error {
	form, err := x.form()
	if err != nil {
		return err
	}
	page := x.blank()
	page.Login, page.Next = form.Get("username"), nextOf(form.Get("next"))
	c := &credentialsBody{login: strings.TrimSpace(page.Login), password: form.Get("password")}
	if checkCharacters(c.login) != "" || c.login == "" || c.password == "" || len([]rune(c.password)) > maxPassword {
		err = fault.New(fault.Unauthenticated, string(signInFailed), "name and password do not belong together")
		auth.Refused(x.r.Context(), err)
	} else {
		_, _, err = a.open(x, c)
	}
	if err == nil {
		x.seeOther(page.Next)
		return nil
	}
	return x.again("login.html", page, err)
}

// again shows a form anew, with what was wrong; what is no mistake of a person is refused as ever.
func (x *exchange) again(name string, page consolePage, err error) error {
	var byHTTP *refusal
	if errors.As(err, &byHTTP) {
		return err
	}
	f := fault.Of(err)
	switch f.Kind {
	case fault.Invalid, fault.Conflict, fault.AlreadyExists, fault.Unauthenticated, fault.Forbidden, fault.Exhausted:
	case fault.NotFound, fault.VersionMismatch, fault.Unavailable, fault.Refused, fault.Expired, fault.KeyReused, fault.InFlight, fault.Internal:
		return err
	}
	if f.Kind == fault.Exhausted {
		x.w.Header().Set("Retry-After", retryAfter(f, retryThrottled))
	}
	fields := f.Fields
	if len(fields) == 0 {
		fields = []fault.Field{{Reason: f.Reason, Text: f.Text, Params: f.Meta}}
	}
	l := x.language()
	for _, field := range fields {
		message := sentence(l, reason(field.Reason), field.Params)
		if message == "" {
			message = field.Text
		}
		if label := formLabels[field.Path]; label != (wording{}) {
			message = [...]string{Spanish: label.es, English: label.en}[l] + ": " + message
		}
		page.Problems = append(page.Problems, message)
	}
	return x.html(statuses[f.Kind].status, name, formPolicy, page)
}

// formLabels are the fields of forms as people read them.
var formLabels = map[string]wording{
	"username": {"Nombre de usuario", "Username"}, "email": {"Correo electrónico", "Email"}, "password": {"Contraseña", "Password"},
	"password_confirm": {"Contraseña otra vez", "Password again"}, "token": {"Enlace", "Link"},
}

func (a *API) logoutForm(x *exchange) error {
	if err := a.closeSession(x); err != nil {
		return err
	}
	x.seeOther(loginPath)
	return nil
}

func (a *API) firstAdminPage(x *exchange) error {
	page := x.blank()
	page.Token = x.r.URL.Query().Get("token")
	return x.html(http.StatusOK, "first-admin.html", formPolicy, page)
}

func (a *API) firstAdminForm(x *exchange) error {
	form, err := x.form()
	if err != nil {
		return err
	}
	page := x.blank()
	page.Token, page.Username, page.Email = form.Get("token"), form.Get("username"), form.Get("email")
	o := object{}
	for _, name := range []string{"token", "username", "email", "password", "password_confirm"} {
		if o[name], err = json.Marshal(form.Get(name)); err != nil {
			return err
		}
	}
	if _, err := a.claim(x, o); err != nil {
		return x.again("first-admin.html", page, err)
	}
	page.Done = true
	return x.html(http.StatusCreated, "first-admin.html", formPolicy, page)
}
