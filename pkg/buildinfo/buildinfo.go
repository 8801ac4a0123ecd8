// Package buildinfo says which build of the project is running, so that a log line, a page or a bug
// report can be matched with its source.
package buildinfo

import "runtime/debug"

// version and commit are set by the linker (make build); nothing else writes them.
var version, commit string

// Version is the release or commit that the program was built from, as git describe gives it; "dev"
// when the build did not say.
func Version() string {
	switch {
	case version != "":
		return version
	case Commit() != "":
		return Commit()
	}
	return "dev"
}

// Commit is the full hash of the commit that the program was built from, empty when the build did not
// say. What was changed after it and not committed shows in Version, as -dirty.
func Commit() string {
	if commit != "" {
		return commit
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value
		}
	}
	return ""
}
