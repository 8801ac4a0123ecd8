package compat

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/go-chi/chi/v5"
	"golang.org/x/text/language"
	"google.golang.org/protobuf/proto"

	"github.com/meet-middleware/meet-middleware/pkg/bus"
	"github.com/meet-middleware/meet-middleware/pkg/logging"
	"github.com/meet-middleware/meet-middleware/pkg/subject"
	"github.com/meet-middleware/meet-middleware/pkg/tracing"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/auth"
	"github.com/meet-middleware/meet-middleware/services/gateway/internal/backend"
)

// Language of the sentences in an answer.
type Language uint8

// The languages. Spanish is spoken to whoever asks for nothing.
const (
	Spanish Language = iota
	English
)

// languages matches Accept-Language; the first is the default, the order that of the constants.
var languages = language.NewMatcher([]language.Tag{language.Spanish, language.English})

// languageOf reads Accept-Language.
func languageOf(accept string) Language {
	if accept == "" || len(accept) > 1024 {
		return Spanish
	}
	tags, _, err := language.ParseAcceptLanguage(accept)
	if err != nil || len(tags) == 0 {
		return Spanish
	}
	if _, index, confidence := languages.Match(tags...); confidence > language.No && index == int(English) {
		return English
	}
	return Spanish
}

// exchange is one request and its answer.
type exchange struct {
	api *API
	w   http.ResponseWriter
	r   *http.Request

	query url.Values
}

// language that the caller wants; the answer says so, because it depends on it.
func (x *exchange) language() Language {
	l := languageOf(x.r.Header.Get("Accept-Language"))
	header := x.w.Header()
	if header.Get("Content-Language") == "" {
		header.Add("Vary", "Accept-Language")
		header.Set("Content-Language", [...]string{Spanish: "es", English: "en"}[l])
	}
	return l
}

// say is a sentence to the caller.
func (x *exchange) say(what reason) string { return sentence(x.language(), what, nil) }

func (x *exchange) principal() bus.Principal { return auth.From(x.r.Context()) }

// param is a part of the path.
func (x *exchange) param(name string) string { return chi.URLParam(x.r, name) }

// number is the id in the path where only a number names anything.
func (x *exchange) number() (int64, error) {
	n, err := strconv.ParseInt(x.param("id"), 10, 64)
	if err != nil || n <= 0 {
		return 0, refuse(http.StatusNotFound, notFound)
	}
	return n, nil
}

// maxKey is the longest Idempotency-Key, in bytes.
const maxKey = 255

// caller is who sends a command, under which idempotency key.
func (x *exchange) caller() (backend.Caller, error) {
	ctx := x.r.Context()
	c := backend.Caller{
		Principal: x.principal(), Route: x.r.Method + " " + x.r.URL.Path,
		RequestID: logging.ID(ctx, logging.RequestID), RemoteAddr: x.r.RemoteAddr,
		Traceparent: x.r.Header.Get(tracing.Header), // the port lets a well-formed one through alone
	}
	if keys, shown := x.r.Header["Idempotency-Key"]; shown {
		c.IdempotencyKey = keys[0]
		if c.IdempotencyKey == "" || len(c.IdempotencyKey) > maxKey {
			return c, refuse(http.StatusBadRequest, longKey)
		}
	}
	return c, nil
}

// prefersAsync tells whether the caller asked not to be kept waiting (RFC 7240 §4.1).
func (x *exchange) prefersAsync() bool {
	for _, line := range x.r.Header["Prefer"] {
		for preference := range strings.SplitSeq(line, ",") {
			name, _, _ := strings.Cut(preference, ";")
			if strings.EqualFold(strings.TrimSpace(name), "respond-async") {
				return true
			}
		}
	}
	return false
}

// etags splits a list of entity tags (RFC 9110 §8.8.3); anything that is none is kept as it is, and so matches nothing.
func etags(lines []string) []string {
	var tags []string
	for _, line := range lines {
		for line = strings.TrimLeft(line, " \t,"); line != ""; line = strings.TrimLeft(line, " \t,") {
			start := 0
			if strings.HasPrefix(line, "W/") {
				start = len("W/")
			}
			end := -1
			if start < len(line) && line[start] == '"' {
				if i := strings.IndexByte(line[start+1:], '"'); i >= 0 {
					end = start + 1 + i + 1
				}
			} else {
				end = strings.IndexByte(line, ',')
			}
			if end < 0 {
				end = len(line)
			}
			tags = append(tags, strings.TrimSpace(line[:end]))
			line = line[end:]
		}
	}
	return tags
}

// notModified tells whether the caller has what etag names already: If-None-Match compares weakly (RFC 9110 §13.1.2).
func (x *exchange) notModified(etag string) bool {
	for _, tag := range etags(x.r.Header["If-None-Match"]) {
		if tag == "*" || strings.TrimPrefix(tag, "W/") == etag {
			return true
		}
	}
	return false
}

// command carries out a change and marks its answer when an earlier request had brought it about, a refusal too: a client that
// repeats under the same key learns that nothing was decided anew.
func command[Req, Resp proto.Message](x *exchange, c subject.Command[Req, Resp], caller backend.Caller, req Req) (backend.Outcome[Resp], error) {
	outcome, err := backend.Do(x.r.Context(), x.api.backend, c, caller, req)
	x.replayed(outcome.Replayed)
	return outcome, err
}

// replayed marks an answer that an earlier request had brought about.
func (x *exchange) replayed(is bool) {
	if is {
		x.w.Header().Set("Idempotency-Replayed", "true")
	}
}

// buffers hold answers while they are made, so that their length is known before the first byte goes out.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// private lets the caller alone keep an answer, and ask each time whether it still holds.
const private = "private, no-cache"

// maxPooled is the largest buffer that is kept.
const maxPooled = 1 << 20

// write answers with body as JSON.
func (x *exchange) write(status int, body any) {
	buf := buffers.Get().(*bytes.Buffer)
	defer func() {
		if buf.Cap() <= maxPooled {
			buf.Reset()
			buffers.Put(buf)
		}
	}()
	enc := json.NewEncoder(buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		x.api.log.ErrorContext(x.r.Context(), "answer does not encode", "error", err)
		status = http.StatusInternalServerError
		buf.Reset()
		buf.WriteString(`{"detail":"` + sentence(Spanish, internalError, nil) + "\"}\n")
	}
	header := x.w.Header()
	if header.Get("Content-Type") == "" {
		header.Set("Content-Type", "application/json")
	}
	if header.Get("Cache-Control") == "" {
		header.Set("Cache-Control", private)
	}
	answer := bytes.TrimSuffix(buf.Bytes(), []byte{'\n'})
	header.Set("Content-Length", strconv.Itoa(len(answer)))
	x.w.WriteHeader(status)
	if x.r.Method != http.MethodHead {
		_, _ = x.w.Write(answer) // the client is gone: nobody to tell
	}
}

// encode is a value as JSON the way this surface writes it.
func encode(v any) ([]byte, error) {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buf.Bytes(), []byte{'\n'}), nil
}
