// Package auditrelay defines the vocabulary of the audit event relay: events, their outcomes, and the
// contract between the engine and a sink.
//
// The relay accepts an audit event once the event is durable in the journal. The engine then passes the
// event to every configured callback asynchronously: through its condition, its filters (native or
// sandboxed WebAssembly guests) and its sink. Delivery is at least once and idempotent. Per callback,
// always:
//
//	assigned = delivered + filtered + dead-lettered + discarded + skipped + pending
//
// Package auditrelay/runtime is the engine. Embed it, or run cmd/auditrelay. This package imports only the
// standard library, so that your own sink depends on nothing else.
package auditrelay
