// Package b reaches c.
package b

import "example.test/tree/c"

// B is c's.
const B = c.C
