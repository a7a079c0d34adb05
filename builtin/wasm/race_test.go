//go:build race

package wasm_test

// A worker with the race detector exceeds its memory limit.
func init() { raceBuild = true }
