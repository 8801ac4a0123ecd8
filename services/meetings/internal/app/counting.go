package app

import (
	"fmt"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

// CountingConfig is what of the settings coverage is counted by.
type CountingConfig struct {
	ExportURL string `env:"MEET_EXPORT_URL" help:"where recordings are copied and checked: s3://bucket, gs://bucket or file:///folder; without it they stay in Google Drive alone"`
	TimeZone  string `env:"MEET_TIME_ZONE" envDefault:"America/Bogota" help:"IANA time zone of a meeting that names none, and of the periodic jobs"`
}

// Check says what is wrong with the settings.
func (c CountingConfig) Check() error {
	if _, err := c.zone(); err != nil {
		return config.Bad("MEET_TIME_ZONE", fmt.Sprintf("%q is not a known time zone", c.TimeZone), "use an IANA name such as America/Bogota")
	}
	return nil
}

func (c CountingConfig) zone() (*time.Location, error) {
	if c.TimeZone == "Local" {
		return time.UTC, fmt.Errorf("%q is no IANA name", c.TimeZone)
	}
	return time.LoadLocation(c.TimeZone) // "" is UTC
}

// Counting is what the queries need of it; those of a config that does not pass its check are counted in UTC.
func (c CountingConfig) Counting() Counting {
	zone, err := c.zone()
	if err != nil {
		zone = time.UTC
	}
	return Counting{Zone: zone, Exporting: c.ExportURL != ""}
}
