package buildinfo

import "testing"

func TestTheLinkersVersionWins(t *testing.T) {
	if Version() == "" {
		t.Error("a build without a version has no name")
	}
	old := version
	t.Cleanup(func() { version = old })
	version = "v1.2.3-4-gabcdef"
	if got := Version(); got != "v1.2.3-4-gabcdef" {
		t.Errorf("got %q", got)
	}
}
