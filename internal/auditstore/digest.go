package auditstore

import (
	"crypto/sha256"
	"database/sql"
	"encoding/binary"
	"encoding/json"
)

// digest is SHA-256 over everything that makes up a record: its journal's name, its place in
// the journal, its identity and times, its document, the places of the document's fields, and
// its origin. The searchable columns are not included, since they follow from document and
// mapping; integrity recomputes them. Each text is preceded by its length, so no two records
// have the same input.
func digest(journal string, w *written) []byte {
	b := make([]byte, 0, 256+len(w.data))
	text := func(s string) { b = append(binary.BigEndian.AppendUint64(b, uint64(len(s))), s...) }
	text("auditrelay store record 1")
	text(journal)
	for _, n := range []int64{w.sequence, w.tombstone, w.at, w.received} {
		b = binary.BigEndian.AppendUint64(b, uint64(n))
	}
	text(w.namespace)
	text(w.id)
	text(w.data)
	origin := w.source != "" || w.principal != "" // records of an earlier version have no origin
	if w.mapping != "" || origin {
		text(w.mapping)
	}
	if origin {
		text(w.source)
		text(w.principal)
	}
	sum := sha256.Sum256(b)
	return sum[:]
}

// integrity reports whether a row as read is what was stored.
func integrity(journal string, w *written) Integrity {
	switch {
	case w.digest != nil && string(w.digest) != string(digest(journal, w)), w.columns != columnsOf(w.mapping, []byte(w.data)), !isObject(w.data):
		return Damaged
	case !w.searched.of(w.digest != nil, w.data):
		return Damaged
	case w.digest == nil:
		return Unverified
	}
	return Verified
}

// searched are the searchable values of a row as stored. Rows that a version without digests
// stored have none until Fill.
type searched struct{ teams, names, tokens sql.NullString }

// of reports whether the values match the document. must: they may not be missing.
func (s searched) of(must bool, data string) bool {
	if !s.teams.Valid && !s.names.Valid && !s.tokens.Valid {
		return !must
	}
	return s.teams.Valid && s.names.Valid && s.tokens.Valid && inside{s.teams.String, s.names.String, s.tokens.String} == insideOf([]byte(data))
}

func isObject(data string) bool {
	return len(data) > 0 && data[0] == '{' && json.Valid([]byte(data))
}
