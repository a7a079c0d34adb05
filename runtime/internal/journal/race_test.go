//go:build race

package journal

// raceDetector: in such a build the storage engine checks its invariants at length.
const raceDetector = true
