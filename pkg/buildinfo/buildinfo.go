// Package buildinfo says which build of the project is running, so that a log line, a page or a bug
// report can be matched with its source.
package buildinfo

import "runtime/debug"

// version is set by the linker (make build); nothing else writes it.
var version string

// Version is the release or commit that the program was built from, as git describe gives it; "dev"
// when the build did not say.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && s.Value != "" {
			return s.Value
		}
	}
	return "dev"
}
