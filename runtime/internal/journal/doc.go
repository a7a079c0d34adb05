// Package journal is the durable, ordered log of accepted events, together with the callbacks'
// durable state, in one Pebble database.
//
// [Journal.Commit] is the only call that writes. It applies a transaction of appended events
// and state changes as a whole or not at all, and the transaction is on disk when Commit
// returns. Concurrent transactions share one synced write, without a goroutine for it. One
// goroutine writes the anchor.
//
// Sequences start at 1 and have no gaps. Namespace and id identify an event. The journal keeps
// a limited window of recent identities in memory, and stores an equal event that is repeated
// within the window once. Open rebuilds the window from small index frames, one for each shared
// write, and does not read the events.
//
// # On disk
//
// Below the journal's directory:
//
//	LOCK     held by the one owner
//	HEAD     format version and identity, with a checksum; see mark
//	ANCHOR   a minimum of the journal's progress, in two slots; see anchor
//	KEYRING  the periods' keys, wrapped, as JSON with a checksum; see keyringText.
//	         Only if events are or were encrypted
//	db/      the Pebble database
//
// The database's keys; a sequence or number is 8 bytes, big-endian, so that keys sort by it:
//
//	0x01 'h'                          the state: commits, next, oldest, ...; see state
//	0x01 'i'                          identity and the key of the identity hashes
//	0x02 sequence                     an event
//	0x03 first sequence               the index frame of one shared write
//	0x04 sequence, ordinal (1)        a further provenance of an event
//	0x40 ... name [number]            the callbacks' state, by Kind; a name ends with
//	                                  0x00 0x01 and writes each zero byte as 0x00 0xff
//
// Each of the journal's own values starts with a CRC-32C over key and value (an event's is over
// sequence, time and the rest), so that a value under another key is detected. "uvar" is an
// unsigned varint:
//
//	+---------+------------+---------+-------------+--------+------+
//	| crc (4) | received   | version | length of   | head   | data |   an event
//	|         | (8, ns)    | (1)     | head (uvar) |        |      |
//	+---------+------------+---------+-------------+--------+------+
//	  head: namespace, id, flags (1), [time], action, provenance, [emission], [ingest], [mapping]
//
//	+---------+---------+-------------+--------+--------+-------------+-----------------+
//	| crc (4) | version | received    | bytes  | n      | n hashes    | emit targets of |   an index
//	|         | (1)     | (8, ns)     | (uvar) | (uvar) | (8 each)    | the n events    |   frame
//	+---------+---------+-------------+--------+--------+-------------+-----------------+
//
// With encryption, an event has version 3 and a box instead of the rest. Further provenances,
// and values of the callbacks' state that are about events (Kind.aboutEvents), are sealed:
//
//	+----------+------------+---------+-----+
//	| mark (4) | sealed (1) | crc (4) | box |                    a value of the state
//	+----------+------------+---------+-----+
//	+---------------+------------+------------+----------+
//	| period (uvar) | nonce (12) | ciphertext | tag (16) |        a box: AES-256-GCM,
//	+---------------+------------+------------+----------+        bound to its key
package journal
