// Package http serves the relay's HTTP API. It accepts events, and shows and operates
// callbacks. It works on a runtime, and uses the process around it through the interfaces in
// control.go.
package http
