// Package process starts worker processes and communicates with them over lanes. Each lane has
// a shared memory for messages' content, and a socket for notifications.
//
// Both sides belong to one program, but the relay's side does not trust the worker. It copies
// data out of the shared memory before it reads it, and checks every length. The worker cannot
// shorten the memory, since its size is sealed.
package process

// Marker is set in a worker's environment. A program that finds it and does not support workers
// must not start another worker.
const Marker = "AUDITRELAY_WORKING"
