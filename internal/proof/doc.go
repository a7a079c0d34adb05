// Package proof has the formats of the proofs: what is in a leaf of a log, the paths
// of tiles, checkpoints, proof files and the bundles that stand beside delivered data.
// docs/reference/proofs.md has all of it byte by byte, for verifiers of other makes.
//
// There is one log of what was accepted for each incarnation of a journal, and one of
// what was delivered for each of its callbacks. A log is a Merkle tree as in RFC 6962
// with SHA-256; tiles, checkpoints, signed notes and proof files are those of C2SP
// (c2sp.org/tlog-tiles, tlog-checkpoint, signed-note and tlog-proof).
//
// Nothing here writes a log, and nothing checks one: those two share these formats
// and nothing else.
package proof
