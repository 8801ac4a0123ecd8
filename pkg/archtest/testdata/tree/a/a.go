// Package a reaches c through b.
package a

import "example.test/tree/b"

// A is b's.
const A = b.B
