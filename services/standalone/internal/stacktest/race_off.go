//go:build !kill || !race

package stacktest

// raced: see the other file.
const raced = false
