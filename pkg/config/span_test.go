package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

func TestASpanIsReadInDaysOrAsADuration(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "0d": 0, "3650d": 3650 * day, "1d12h": 36 * time.Hour, "90m": 90 * time.Minute, "36h": 36 * time.Hour,
	} {
		var s config.Span
		if err := s.UnmarshalText([]byte(text)); err != nil || s.Duration() != want {
			t.Errorf("%s is %s, %v", text, s, err)
		}
		var again config.Span
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s {
			t.Errorf("%s is written as %s and read as %s, %v", text, s, again, err)
		}
	}
	for _, text := range []string{"", "d", "5", "-1d", "1d-2h", "-2h", "5y", "1.5d", "1d2", "99999999999d", "106751d24h", "1d 2h"} {
		var s config.Span
		if err := s.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is read as %s", text, s)
		}
	}
}

func TestASettingInDaysSaysHowToWriteIt(t *testing.T) {
	type settings struct {
		Keep config.Span `env:"KEEP" envDefault:"30d" help:"how long"`
	}
	if s, err := config.Load[settings](nil); err != nil || s.Keep.Duration() != 30*24*time.Hour {
		t.Errorf("%+v, %v", s, err)
	}
	_, err := config.Load[settings]([]string{"KEEP=5y"})
	if err == nil || !strings.Contains(err.Error(), "3650d") {
		t.Errorf("got %v", err)
	}
}

func FuzzASpanIsReadAsItIsWritten(f *testing.F) {
	f.Add("1d12h")
	f.Add("106751d23h47m16.854775807s")
	f.Fuzz(func(t *testing.T, text string) {
		var s, again config.Span
		if err := s.UnmarshalText([]byte(text)); err != nil {
			return
		}
		if err := again.UnmarshalText([]byte(s.String())); err != nil || again != s || s < 0 {
			t.Errorf("%q: %s, %s, %v", text, s, again, err)
		}
	})
}
