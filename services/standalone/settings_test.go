package standalone_test

import (
	"testing"

	"github.com/meet-middleware/meet-middleware/pkg/config"
	"github.com/meet-middleware/meet-middleware/services/standalone"
)

func TestTheNATSInsideIsReachedFromThisMachineAlone(t *testing.T) {
	for _, test := range []struct {
		name    string
		environ []string
		refused bool
	}{
		{"by default", nil, false},
		{"loopback", []string{"MEET_NATS_ADDR=[::1]:0"}, false},
		{"every address", []string{"MEET_NATS_ADDR=0.0.0.0:4222"}, true},
		{"no host", []string{"MEET_NATS_ADDR=:4222"}, true},
		{"another address", []string{"MEET_NATS_ADDR=10.0.0.7:4222"}, true},
		{"a developer's machine", []string{"MEET_NATS_ADDR=0.0.0.0:4222", "DEBUG=True"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := config.Load[standalone.Settings](test.environ)
			if problems := config.Problems(err); test.refused != (len(problems) == 1 && problems[0].Variable == "MEET_NATS_ADDR") || !test.refused && err != nil {
				t.Errorf("%v", err)
			}
		})
	}
}
