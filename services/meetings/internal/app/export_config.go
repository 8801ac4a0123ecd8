package app

import (
	"errors"
	"fmt"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/export"
	"github.com/meet-middleware/meet-middleware/services/meetings/internal/schedule"
)

// KeepingConfig says where recordings are copied, how long what was held is kept, and when the periodic jobs run.
type KeepingConfig struct {
	ExportURL string `env:"MEET_EXPORT_URL" help:"where copies of recordings are kept: s3://bucket/prefix?region=…, with endpoint=https://host:port for MinIO and its like, gs://bucket/prefix, or file:///folder; credentials are AWS's and Google's usual ones (AWS_ACCESS_KEY_ID, GOOGLE_APPLICATION_CREDENTIALS, the machine's own) and never part of it; absent: no copies are made"`
	ExportKey string `env:"MEET_EXPORT_KEY" envDefault:"{year}/{month}/{day}/{meeting_uid}/{recording_id}{ext}" help:"where below MEET_EXPORT_URL a recording goes; placeholders: {year} {month} {day} {hour} {minute} of its start in MEET_TIME_ZONE, {organizer} {meeting_id} {meeting_uid} {external_reference} {recording_id} {ext}"`

	KeepRecordings  config.Span `env:"MEET_RETENTION_RECORDINGS" envDefault:"0" help:"how long the copy of a recording is kept after it was checked, as 3650d; then it is deleted, unless its meeting is on legal hold; 0: for good"`
	KeepAttendance  config.Span `env:"MEET_RETENTION_ATTENDANCE" envDefault:"0" help:"how long after the end of a conference it is kept who was there, as 365d; 0: for good"`
	KeepTranscripts config.Span `env:"MEET_RETENTION_TRANSCRIPTS" envDefault:"0" help:"how long it is kept what was said, from when the transcript was first seen, as 365d; 0: for good"`

	TimeZone      string `env:"MEET_TIME_ZONE" envDefault:"America/Bogota" help:"IANA time zone of a meeting that names none, and of the periodic jobs"`
	SyncCron      string `env:"MEET_SYNC_CRON" envDefault:"0 2 * * *" help:"when it is looked at Google for all recordings that are still expected: minute, hour, day of month, month, day of week in MEET_TIME_ZONE; off: never"`
	ReportCron    string `env:"MEET_REPORT_CRON" envDefault:"0 6 * * *" help:"when it is reported what became of yesterday's recordings; off: never"`
	RetentionCron string `env:"MEET_RETENTION_CRON" envDefault:"30 3 * * *" help:"when what has been kept long enough is deleted; off: never"`
}

// off is a cron line that never comes.
const off = "off"

// Check says what is wrong with the settings.
func (c KeepingConfig) Check() error {
	_, err := c.Keeping()
	return err
}

// Keeping is what the use cases need of the settings.
type Keeping struct {
	Export export.Policy
	// KeepAttendance counts from a conference's end, KeepTranscripts from when a transcript was first seen; 0: for good.
	KeepAttendance, KeepTranscripts time.Duration
	Zone                            *time.Location
	// Periodic are the lines of the periodic jobs by their kind; absent: never.
	Periodic map[string]schedule.Line
}

// Keeping reads the settings; its error is all that is wrong with them.
func (c KeepingConfig) Keeping() (Keeping, error) {
	var problems []error
	k := Keeping{
		Export:         export.Policy{On: c.ExportURL != "", Keep: c.KeepRecordings.Duration()},
		KeepAttendance: c.KeepAttendance.Duration(), KeepTranscripts: c.KeepTranscripts.Duration(),
		Zone: time.UTC, Periodic: map[string]schedule.Line{},
	}
	if c.ExportKey != "" {
		key, err := export.ParseKey(c.ExportKey)
		if err != nil {
			problems = append(problems, config.Bad("MEET_EXPORT_KEY", fmt.Sprintf("%q %v", c.ExportKey, err), "leave it out for "+export.DefaultKey))
		}
		k.Export.Key = key
	}
	if c.TimeZone != "" {
		zone, err := time.LoadLocation(c.TimeZone)
		if err != nil || c.TimeZone == "Local" {
			problems = append(problems, config.Bad("MEET_TIME_ZONE", fmt.Sprintf("%q is not a known time zone", c.TimeZone), "use an IANA name such as America/Bogota"))
			zone = time.UTC
		}
		k.Zone = zone
	}
	k.Export.Zone = k.Zone
	for _, p := range []struct{ name, kind, line, example string }{
		{"MEET_SYNC_CRON", KindSyncAll, c.SyncCron, "0 2 * * *"},
		{"MEET_REPORT_CRON", KindReport, c.ReportCron, "0 6 * * *"},
		{"MEET_RETENTION_CRON", KindRetention, c.RetentionCron, "30 3 * * *"},
	} {
		if p.line == "" || p.line == off {
			continue
		}
		line, err := schedule.Parse(p.line, k.Zone)
		if err != nil {
			problems = append(problems, config.Bad(p.name, fmt.Sprintf("%q %v", p.line, err), "write five fields as "+p.example+", or off"))
			continue
		}
		k.Periodic[p.kind] = line
	}
	return k, errors.Join(problems...)
}
