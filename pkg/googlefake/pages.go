package googlefake

import (
	"encoding/base64"
	"html/template"
	"net/http"
	"strings"
)

const (
	meetPagePath  = "/meet/"
	eventPagePath = "/calendar/event"
)

var page = template.Must(template.New("page").Parse(`<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="robots" content="noindex">
<title>Simulated: {{.What}}</title>
<style>body{font:1.1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:15vh auto;padding:0 1rem}b{background:#fd6;padding:.1em .4em}</style>
<p><b>Simulated</b></p>
<h1>{{.What}}</h1>
<p>{{if .Known}}This was made by an emulator of Google's APIs. Nobody can meet here: no call was placed at Google, and no video is sent.
{{- else}}The emulator knows nothing by this name.{{end}}</p>
`))

// pageRoutes answers the links that the emulator gives out.
func (s *Server) pageRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /{$}", s.showState(stateTemplate()))
	mux.HandleFunc("GET "+meetPagePath+"{code}", func(w http.ResponseWriter, r *http.Request) {
		code := strings.ToLower(r.PathValue("code"))
		s.store.mu.RLock()
		known := s.store.codes[code] != nil
		s.store.mu.RUnlock()
		writePage(w, "Meet "+code, known)
	})
	mux.HandleFunc("GET "+eventPagePath, func(w http.ResponseWriter, r *http.Request) {
		b, _ := base64.RawURLEncoding.DecodeString(r.URL.Query().Get("eid")) // what is no eid names no event
		id, calendarID, _ := strings.Cut(string(b), " ")
		s.store.mu.RLock()
		known := s.store.event(calendarID, id) != nil
		s.store.mu.RUnlock()
		writePage(w, "Calendar event", known)
	})
}

func writePage(w http.ResponseWriter, what string, known bool) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	if !known {
		w.WriteHeader(http.StatusNotFound)
	}
	_ = page.Execute(w, struct { // a client that is gone needs no answer
		What  string
		Known bool
	}{what, known})
}
