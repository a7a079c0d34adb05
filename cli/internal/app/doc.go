// Package app is the relay as a process: it assembles a runtime from a
// configuration, reloads it, and keeps it alive until it ends. Package http answers
// for it. It alone knows the concrete sinks and sources.
package app
