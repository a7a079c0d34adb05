// Package proof has the formats of the proofs: the leaves of a log, the paths of tiles,
// checkpoints, proof files, and the bundles that are delivered with the data.
// docs/reference/proofs.md specifies them byte by byte for other implementations of a verifier.
//
// Each incarnation of a journal has one log of accepted events and one log of deliveries for
// each of its callbacks. A log is a Merkle tree as in RFC 6962 with SHA-256. Tiles,
// checkpoints, signed notes and proof files are those of C2SP (c2sp.org/tlog-tiles,
// tlog-checkpoint, signed-note and tlog-proof).
//
// This package neither writes nor checks logs. The code for the two shares only these formats.
package proof
