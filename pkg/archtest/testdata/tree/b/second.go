// Package b explains itself twice.
package b
