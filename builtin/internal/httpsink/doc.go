// Package httpsink is shared by the sinks that use HTTP: connections that refuse internal
// addresses, secrets that rotate without a restart, adaptive concurrency, the classification of
// answers, and batches by encoded size.
//
// A sink renders records into items, packs them with a Packing, and sends a payload's stored
// body with Client.Send. The engine retries; a Client makes one attempt.
package httpsink
