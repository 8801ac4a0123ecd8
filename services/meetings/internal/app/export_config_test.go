package app

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/pkg/config"
)

func TestSettingsOfWhatIsKeptAreAllCheckedAtOnce(t *testing.T) {
	good, err := config.Load[KeepingConfig]([]string{"MEET_RETENTION_RECORDINGS=3650d", "MEET_EXPORT_URL=s3://b", "MEET_REPORT_CRON=off"})
	if err != nil {
		t.Fatal(err)
	}
	keep, err := good.Keeping()
	if err != nil || !keep.Export.On || keep.Export.Keep != 3650*24*time.Hour || keep.Zone.String() != "America/Bogota" || len(keep.Periodic) != 2 {
		t.Errorf("got %+v, %v", keep, err)
	}
	_, err = config.Load[KeepingConfig]([]string{
		"MEET_EXPORT_KEY=../{recording_id}", "MEET_TIME_ZONE=Mars/Olympus", "MEET_SYNC_CRON=every night", "MEET_REPORT_CRON=0 0 30 2 *", "MEET_RETENTION_CRON=TZ=UTC 0 1 * * *",
	})
	var wrong *config.Error
	if !errors.As(err, &wrong) || len(wrong.Problems) != 5 {
		t.Fatalf("got %v", err)
	}
	for _, p := range wrong.Problems {
		if !strings.HasPrefix(p.Variable, "MEET_") || p.Fix == "" {
			t.Errorf("problem %v", p)
		}
	}
}
