// Package pgstore stores a journal in a schema of a Postgres database. It implements
// journal.Shared for relays that must survive the loss of their machine.
//
// # Tables
//
//	journal  one row: format, epoch and holder, the number of commits and the id of the
//	         newest, the trimmed sequence, the journal's head
//	frames   one row for each commit that appended events, with its index record and all
//	         its events; append-only, in partitions that are dropped as a whole
//	parts    the sequences of each partition
//	state    everything else, by key
//	keyring  its text
//
// # One writer
//
// A separate session holds an advisory lock and proves every few seconds that its relay is
// alive; otherwise the server ends the session (idle_session_timeout). The relay that gets the
// lock ends the other relay's sessions and raises the epoch. Every transaction first locks the
// one row of journal. The same statement fails if the epoch or the number of commits is not the
// one that the relay knows. So a relay that lost the lock cannot commit, whatever its clock
// says.
//
// # A lost response
//
// Each commit stores a random id in the row of journal. If the response to COMMIT is lost, the
// store reconnects, ends the old session, waits for the row's lock and looks for the id. It
// then makes a commit of its own, so that all earlier commits are durable, on the standbys too.
package pgstore
