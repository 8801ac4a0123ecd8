package logging_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/logging"
)

func TestAnAddressIsKnownByItsFirstLetterAndDomain(t *testing.T) {
	for text, want := range map[string]string{
		"patient@mail.example": "p***@mail.example",
		"no address":           "no address",
		"for <ana.lópez+x@mail.example>, and b@c.de": "for <a***@mail.example>, and b***@c.de",
		"GET /calendars/dr%40clinic.example/events":  "GET /calendars/d***@clinic.example/events",
		"ñandú@clínica.example.":                     "ñ***@clínica.example.",
		"a@b":                                        "a***@b",
		"@everyone":                                  "@everyone",
		"nats.go@v1.55.0/nats.go:12":                 "nats.go@v1.55.0/nats.go:12",
		"postgres://meet:hunter2@db.example/meet":    "postgres://meet:h***@db.example/meet",
	} {
		got := logging.MaskAddresses(text)
		if got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
	}
}

type person struct{ address string }

func (p person) Error() string { return "no such person: " + p.address }

func TestNoLineHoldsAnAddress(t *testing.T) {
	const who = "patient.of.ours@mail.example"
	for _, debug := range []bool{false, true} {
		var out bytes.Buffer
		log := logging.New(&out, logging.Config{Debug: debug})
		ctx := logging.With(context.Background(), slog.String(logging.RequestID, who))
		log.With("organizer", who).InfoContext(ctx, "said",
			"account", who, "error", fmt.Errorf("invite: %w", person{who}), "joined", errors.Join(errors.New("x"), person{who}),
			"guests", []string{"a", who}, slog.Group("inner", "owner", who), "url", "https://calendar.example/"+strings.ReplaceAll(who, "@", "%40"))
		text := out.String()
		if strings.Contains(text, "patient.of") || strings.Count(text, "p***@mail.example") != 8 {
			t.Errorf("debug %t: %s", debug, text)
		}
	}
}

func FuzzNoAddressIsLeft(f *testing.F) {
	f.Add("for <", ">, %40")
	f.Fuzz(func(t *testing.T, before, after string) {
		got := logging.MaskAddresses(before + " patient@mail.example " + after)
		if strings.Contains(got, "patient@mail.example") && !strings.Contains(before+after, "patient@mail.example") {
			t.Errorf("%q", got)
		}
	})
}
