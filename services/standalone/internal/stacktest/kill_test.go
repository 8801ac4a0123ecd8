//go:build kill

package stacktest_test

import (
	"testing"
	"time"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

func TestKillEveryPartManyTimesUnderLoad(t *testing.T) {
	s := stacktest.Start(t, stacktest.Options{Gateways: 2, Meetings: 2, Schedulers: 2})
	promises := storm{
		clients: 16, services: 20, servers: 3, calm: 2 * time.Second, away: 500 * time.Millisecond, patience: 2 * time.Minute,
	}.run(t, s)
	s.Drain(t)
	s.Verify(t, promises)

	before := s.Log(t)
	loseJetStream(t, s, &promises)
	s.Drain(t)
	s.Verify(t, promises)
	stacktest.SameLog(t, before, s.Log(t))
}
