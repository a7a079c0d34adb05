// Package guest is the Go SDK for guests of the audit event relay. A guest is a
// package main that registers what it does and has an empty main:
//
//	package main
//
//	import guest "auditrelay/guests/sdk/go"
//
//	var secrets = guest.Path("**.~password")
//
//	func init() {
//		guest.OnEvent(func() guest.Verdict {
//			secrets.DeleteAll()
//			return guest.Keep
//		})
//	}
//
//	func main() {}
//
// Build it as a reactor:
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -trimpath -o guest.wasm .
//
// Paths and regular expressions are made in package variables, in init functions
// or in OnInit; nodes are valid until the event's function returns. Functions
// that are given something too long or not granted end the event as a failure,
// so there is nothing to check: what an editing function returns is how much it
// changed.
//
// The package keeps to what TinyGo understands, but is only tested with Go. It
// has one goroutine's worth of state: a guest must not touch it from goroutines
// that outlive the event.
package guest
