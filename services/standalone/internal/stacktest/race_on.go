//go:build kill && race

package stacktest

// raced: the programs are built with the race detector, and what it finds fails the test. The figures that other tests measure
// would not be theirs.
const raced = true
