//go:build race

package hostfuncs

const raceDetector = true
