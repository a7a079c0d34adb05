//go:build !race

package confine

// raceBuild reports whether the race detector is built in. Its memory fits in no limit.
const raceBuild = false
