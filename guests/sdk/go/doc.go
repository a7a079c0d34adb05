// Package guest is the Go SDK for guests of the audit event relay. A guest is a package main
// with an empty main. It registers its functions at the start:
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
// Create paths and regular expressions in package variables, in init functions or in OnInit.
// Nodes are valid until the event's function returns. If an argument is too long or not
// granted, the event fails, so there are no errors to check. Editing functions return the
// number of changes.
//
// The package uses only what TinyGo supports, but is only tested with Go. Its state belongs to
// one goroutine: goroutines that outlive the event must not use it.
package guest
