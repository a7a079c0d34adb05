// Package httpsink is what the sinks that speak HTTP share: connections that refuse
// addresses of the inside, secrets that rotate without a restart, concurrency that
// follows the destination, the classification of answers, and batches by encoded size.
//
// A sink renders records into items, lets Batches pack them, and sends a payload's
// stored body with Client.Send. The engine retries; a Client tries once.
package httpsink
