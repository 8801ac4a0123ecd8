// Package failpoint lets a test kill a program at a named place, to show that a crash between two writes to different places
// loses nothing and does nothing twice.
//
// A place is marked with [Here]. In a usual build it is an empty function that the compiler removes. In a program built with
// `-tags failpoint`, the environment variable MEET_FAILPOINT names the place to die at, and after a colon at which pass:
//
//	MEET_FAILPOINT=scheduler.posted_outcome     the first time
//	MEET_FAILPOINT=scheduler.posted_outcome:7   the seventh
//
// Death is SIGKILL, so that nothing is flushed, closed or deferred: what a crash of the machine's power or the kernel's
// out-of-memory killer looks like to the rest of the system. A name has the service, a dot and what was just done.
package failpoint

// Variable is the environment variable that names the place.
const Variable = "MEET_FAILPOINT"
