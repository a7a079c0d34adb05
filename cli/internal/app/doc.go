// Package app is the relay as a process: it builds a runtime from a configuration,
// reloads it, and runs it until it ends. Package http is its HTTP API. Only package app
// knows the concrete sinks and sources.
package app
