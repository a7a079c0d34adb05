// Package journal is the durable, ordered log of accepted events, together with
// the callbacks' durable state, in one Pebble database.
//
// There is one writing call, [Journal.Commit]: a transaction of appended events
// and changes of state is applied whole or not at all, and is on disk when
// Commit returns. Concurrent transactions share one synced write; the journal
// has no goroutine of its own for that. One goroutine writes the anchor.
//
// Events have dense sequences from 1. Their identity is namespace and id; a
// bounded window of recent identities is kept in memory, so that an equal event
// that comes again is stored once. The window is rebuilt at Open from small
// index frames, one for each shared write, never from the events.
//
// On disk, below the journal's directory:
//
//	LOCK   held by the one owner
//	HEAD   format version and identity, with a checksum; see mark
//	ANCHOR how far the journal had come at least, written in the background; see anchor
//	KEYRING  the periods' keys, wrapped; only where events are or were encrypted
//	db/    the Pebble database
package journal
