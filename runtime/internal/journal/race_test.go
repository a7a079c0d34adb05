//go:build race

package journal

// raceDetector reports whether this build has the race detector.
const raceDetector = true
