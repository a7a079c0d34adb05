//go:build race

package journal

// raceDetector is whether this is a build with the race detector.
const raceDetector = true
