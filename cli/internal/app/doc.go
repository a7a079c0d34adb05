// Package app runs the relay as a process. It builds a runtime from a configuration, reloads
// it, and runs it until the process ends. Package http is its HTTP API. Only package app knows
// the concrete sinks and sources.
package app
