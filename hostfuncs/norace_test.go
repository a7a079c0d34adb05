//go:build !race

package hostfuncs

const raceDetector = false
