// Package s3 is the way in for producers that write audit events to S3, such
// as LiteLLM's s3_v2 callback: as much of the S3 protocol as they need, in front of
// the engine. It verifies each request as S3 does (SigV4, digests, checksums), takes
// the events from the body and answers 200 once all of them are durable.
//
// Nobody reads a 4xx at the other end. What arrives whole and authenticated under
// audit_logs/ and is no event, or an unequal one of a known id, goes into quarantine
// and is answered with 200; only what is not authenticated, not what was signed, not
// whole, too large or none of the relay's business is refused.
package s3
