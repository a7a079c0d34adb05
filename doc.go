// Package auditrelay holds the vocabulary of the audit event relay: what an
// event is, how one ends on a callback, and the contract between the engine
// and a sink.
//
// An audit event is accepted once it is durable in the journal. Every
// configured callback then gets it asynchronously: its condition, its filters
// (native ones and sandboxed WebAssembly guests) and at last its sink. Delivery
// is at least once and idempotent; per callback, always,
//
//	assigned = delivered + filtered + dead-lettered + discarded + skipped + pending
//
// The engine is package auditrelay/runtime; embed it, or run cmd/auditrelay.
// This package imports the standard library alone, so that a sink of one's own
// depends on nothing else.
package auditrelay
