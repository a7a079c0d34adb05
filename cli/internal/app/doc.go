// Package app is the relay as a process: it assembles a runtime from a
// configuration and serves it over HTTP. It alone knows the concrete sinks.
package app
