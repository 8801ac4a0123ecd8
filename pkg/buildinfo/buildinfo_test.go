package buildinfo

import "testing"

func TestTheLinkersVersionWins(t *testing.T) {
	if Version() == "" {
		t.Error("a build without a version has no name")
	}
	oldVersion, oldCommit := version, commit
	t.Cleanup(func() { version, commit = oldVersion, oldCommit })
	version, commit = "", "abcdef0123456789abcdef0123456789abcdef01"
	if got := Version(); got != commit {
		t.Errorf("without a version it is called %q, want its commit", got)
	}
	version = "v1.2.3-4-gabcdef"
	if got := Version(); got != "v1.2.3-4-gabcdef" {
		t.Errorf("version %q", got)
	}
	if got := Commit(); got != "abcdef0123456789abcdef0123456789abcdef01" {
		t.Errorf("commit %q", got)
	}
}
