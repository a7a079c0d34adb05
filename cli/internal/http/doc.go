// Package http answers the relay's HTTP API: events come in, callbacks are looked
// at and operated. It works on a runtime, and asks the process around it for the
// rest through the interfaces of control.go.
package http
