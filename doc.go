// Package auditrelay holds the vocabulary of the audit event relay: events,
// their outcomes, and the contract between the engine and a sink.
//
// An audit event is accepted when it is durable in the journal. The engine then
// passes it to every configured callback, asynchronously: condition, filters
// (native ones and sandboxed WebAssembly guests), sink. Delivery is at least once
// and idempotent. Per callback, always:
//
//	assigned = delivered + filtered + dead-lettered + discarded + skipped + pending
//
// The engine is package auditrelay/runtime. Embed it, or run cmd/auditrelay. This
// package imports only the standard library, so that your own sink depends on
// nothing else.
package auditrelay
