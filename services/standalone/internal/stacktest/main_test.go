package stacktest_test

import (
	"os"
	"testing"

	"github.com/meet-middleware/meet-middleware/services/standalone/internal/stacktest"
)

func TestMain(m *testing.M) { os.Exit(stacktest.Main(m)) }
