package litellm

import "net/http"

// Version is one of LiteLLM's s3_v2 loggers.
type Version int

// The versions. Seed and Summer differ in the options they read, not in what happens to an
// event.
const (
	Seed Version = iota
	Summer
	Present
)

// Versions are all versions.
var Versions = []Version{Seed, Summer, Present}

func (v Version) String() string { return [...]string{"seed", "summer", "present"}[v] }

// Transport is LiteLLM's HTTP client.
type Transport int

// The transports; AIOHTTP is LiteLLM's default.
const (
	AIOHTTP Transport = iota
	HTTPX
)

// Transports are both transports.
var Transports = []Transport{AIOHTTP, HTTPX}

func (t Transport) String() string { return [...]string{"aiohttp", "httpx"}[t] }

// Break is how a request without an answer ended.
type Break int

// The breaks.
const (
	Refused Break = iota
	Reset
	ClosedAmid // during the body, most of it unsent
	ClosedLate // during the body, little of it unsent
	ClosedAfter
	TimedOut
)

// Again reports whether the request is sent a second time, as a POST.
func (t Transport) Again(b Break) bool {
	switch b {
	case Refused:
		return true
	case Reset, ClosedAmid:
		return t == AIOHTTP
	case ClosedAfter:
		return t == HTTPX
	}
	return false
}

// Fate is what happens to an event after a try.
type Fate int

// The fates.
const (
	Done Fate = iota
	Lost
	Retried // at once in the same flush, if a try is left; else Queued
	Queued  // for the next flush
)

// Answered returns the fate after an answer.
func (v Version) Answered(status int) Fate {
	switch {
	case status/100 == 2:
		return Done
	case v != Present:
		return Lost
	case status == http.StatusInternalServerError, status == http.StatusServiceUnavailable, status == http.StatusForbidden:
		return Retried
	}
	return Queued
}

// Broke returns the fate after a break without a second try.
func (v Version) Broke() Fate {
	if v == Present {
		return Queued
	}
	return Lost
}

// tries is the number of tries in one flush.
const tries = 3

// terminalCodes are the codes with which the present version may drop an object if the status
// is 400 or 403.
var terminalCodes = []string{"EntityTooLarge", "InvalidArgument", "MalformedXML", "InvalidDigest", "KeyTooLongError", "BadDigest", "InvalidRequest"}
