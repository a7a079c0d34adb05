package litellm

import "net/http"

// Version is one of LiteLLM's s3_v2 loggers.
type Version int

// The versions. Seed and Summer differ in what they read of their configuration, not in
// what becomes of an event.
const (
	Seed Version = iota
	Summer
	Present
)

// Versions are all of them.
var Versions = []Version{Seed, Summer, Present}

func (v Version) String() string { return [...]string{"seed", "summer", "present"}[v] }

// Transport is the HTTP client that LiteLLM was started with.
type Transport int

// The transports; AIOHTTP is LiteLLM's default.
const (
	AIOHTTP Transport = iota
	HTTPX
)

// Transports are both of them.
var Transports = []Transport{AIOHTTP, HTTPX}

func (t Transport) String() string { return [...]string{"aiohttp", "httpx"}[t] }

// Break is how a request ended that got no answer.
type Break int

// The breaks.
const (
	Refused Break = iota
	Reset
	ClosedAmid // the body, most of which is unsent
	ClosedLate // amid the body, little of which is unsent
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

// Fate is what becomes of an event after a try.
type Fate int

// The fates.
const (
	Done Fate = iota
	Lost
	Retried // at once within the flush, if a try is left; else Queued
	Queued  // for the next flush
)

// Answered is what follows an answer.
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

// Broke is what follows a break after which nothing is sent again.
func (v Version) Broke() Fate {
	if v == Present {
		return Queued
	}
	return Lost
}

// tries within one flush.
const tries = 3

// terminalCodes are the codes upon which the present version may drop an object, where
// they come with 400 or 403.
var terminalCodes = []string{"EntityTooLarge", "InvalidArgument", "MalformedXML", "InvalidDigest", "KeyTooLongError", "BadDigest", "InvalidRequest"}
