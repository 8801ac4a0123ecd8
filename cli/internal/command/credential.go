package command

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// The variables that hold the credential; it is no flag, because command lines are seen by others and kept in histories.
const (
	envToken = "MEETCTL_TOKEN" //nolint:gosec // G101: a variable's name, no token
	envKey   = "MEET_API_KEY"
)

// maxCredential is the longest credential, in bytes.
const maxCredential = 16 << 10

// credential is the API key or token to call with, of a file, else of the environment; empty: none.
func (s *session) credential() (string, error) {
	var text string
	switch {
	case s.tokenFile != "":
		raw, err := readFile(s.tokenFile)
		if err != nil {
			return "", usage("--token-file: %w", err)
		}
		if text = strings.TrimSpace(raw); text == "" {
			return "", usage("--token-file: %s is empty", s.tokenFile)
		}
	default:
		if text = strings.TrimSpace(s.terminal.Getenv(envToken)); text == "" {
			text = strings.TrimSpace(s.terminal.Getenv(envKey))
		}
	}
	if len(text) > maxCredential || strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", usage("the credential has characters that none has; it is one line, such as mm_live_…")
	}
	return text, nil
}

func readFile(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	raw, err := io.ReadAll(io.LimitReader(f, maxCredential+1))
	return string(raw), err
}

// client calls the server with the credential.
func (s *session) client() *http.Client {
	if s.token == "" {
		return http.DefaultClient
	}
	host := ""
	if u, err := url.Parse(s.server); err == nil {
		host = u.Host
	}
	return &http.Client{Transport: bearing{token: s.token, host: host, next: http.DefaultTransport}}
}

// bearing shows the credential to the server, and to nobody that it redirects to.
type bearing struct {
	token, host string
	next        http.RoundTripper
}

func (b bearing) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == b.host {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+b.token)
	}
	return b.next.RoundTrip(r)
}

// writeSecret writes a secret to a new file that only its owner reads.
func writeSecret(name, secret string) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("keep the secret: %w", err)
	}
	_, err = io.WriteString(f, secret+"\n")
	return errors.Join(err, f.Close())
}
