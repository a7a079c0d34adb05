// Package process starts worker processes and talks with them over lanes: for each lane a
// piece of shared memory for what is said, and a socket on which each side says that it
// has said something.
//
// Both sides are of one program, but the relay's side believes nothing of what the worker
// says: it copies out of the shared memory before it looks, and checks every length. The
// memory cannot be cut short under it (its size is sealed).
package process

// Marker is set in a worker's environment: a program that is run as one and does not know
// it must not run another in its turn.
const Marker = "AUDITRELAY_WORKING"
