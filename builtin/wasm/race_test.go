//go:build race

package wasm_test

// A worker with the race detector in it takes more memory than it may.
func init() { raceBuild = true }
