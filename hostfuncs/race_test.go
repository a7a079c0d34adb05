//go:build race

package hostfuncs

const RaceDetector = true
