// Package ndjson writes records as newline-delimited JSON for the sinks that use it.
package ndjson

import (
	"bytes"
	"errors"
	"fmt"

	"auditrelay"
)

// Reasons why a record cannot be one line.
var (
	errLineFeed = errors.New("the document contains a line feed, which would split it into two lines")
	errEmpty    = errors.New("the document is empty")
)

// Check returns an error that names the records that cannot be one line each, or nil.
func Check(records []auditrelay.Record) error {
	var bad []auditrelay.RecordError
	for _, r := range records {
		var err error
		switch {
		case len(r.Data) == 0:
			err = errEmpty
		case bytes.IndexByte(r.Data, '\n') >= 0:
			err = errLineFeed
		default:
			continue
		}
		bad = append(bad, auditrelay.RecordError{Sequence: r.Sequence, Cause: auditrelay.CauseRender, Err: err})
	}
	if bad == nil {
		return nil
	}
	return &auditrelay.RecordErrors{Records: bad}
}

// Join returns the records' documents, each followed by a line feed, in newly allocated memory,
// and their sequences.
func Join(records []auditrelay.Record) (body []byte, sequences []uint64) {
	size := 0
	for _, r := range records {
		size += len(r.Data) + 1
	}
	body = make([]byte, 0, size)
	sequences = make([]uint64, 0, len(records))
	for _, r := range records {
		body = append(body, r.Data...)
		body = append(body, '\n')
		sequences = append(sequences, r.Sequence)
	}
	return body, sequences
}

// Cut divides body after its first n lines. It returns an error if body does not contain
// exactly total lines that end with a line feed.
func Cut(body []byte, n, total int) (first, second []byte, err error) {
	lines, at := 0, 0
	for i, c := range body {
		if c == '\n' {
			lines++
			if lines == n {
				at = i + 1
			}
		}
	}
	if lines != total || n < 1 || n >= total || body[len(body)-1] != '\n' {
		return nil, nil, fmt.Errorf("cut after line %d: the body has %d complete lines, expected %d", n, lines, total)
	}
	return body[:at], body[at:], nil
}
