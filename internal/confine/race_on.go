//go:build race

package confine

// raceBuild says that the race detector, whose memory no limit leaves room for, is in.
const raceBuild = true
