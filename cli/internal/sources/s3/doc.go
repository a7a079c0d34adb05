// Package s3 is the input for producers that write audit events to S3, such as LiteLLM's s3_v2
// callback. It implements the part of the S3 protocol that they need. It verifies each request
// as S3 does (SigV4, digests, checksums), reads the events in the body, and responds with 200
// once all of them are durable.
//
// The producer does not read a 4xx. So an authenticated, complete object under audit_logs/ that
// is not a valid event, or differs from a stored event with the same id, goes to quarantine and
// gets 200. A request is rejected only if it is unauthenticated, differs from what was signed,
// is incomplete or too large, or is not for the relay.
package s3
