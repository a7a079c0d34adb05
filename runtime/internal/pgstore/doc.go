// Package pgstore keeps a journal in a schema of a Postgres database: it is the
// journal.Shared of relays that must survive the loss of their machine.
//
// # Tables
//
//	journal  one row: format, epoch and holder, the number of commits and the id of the
//	         newest, what was trimmed, the journal's head
//	frames   one row for each commit that appended events, with its index record and all
//	         its events; appended only, in partitions that are dropped whole
//	parts    which sequences a partition holds
//	state    everything else, by key
//	keyring  its text
//
// # One writer
//
// A session of its own holds an advisory lock, and shows every few seconds that its
// relay lives; the server ends it otherwise (idle_session_timeout). Whoever gets the lock
// ends the other relay's sessions and raises the epoch. Every transaction first takes the
// lock of the one row of journal and, by the same statement, fails where the epoch or the
// number of commits is not what its relay knows: a relay that lost the lock can commit
// nothing, whatever its clock says.
//
// # A lost answer
//
// Each commit has a random id, which it leaves in the row of journal. Where the answer to
// COMMIT is lost, the store connects anew, ends the old session, waits for the row's lock
// and reads whether the id stands there. It then commits a write of its own, so that all
// before it is durable too, on the standbys as well.
package pgstore
