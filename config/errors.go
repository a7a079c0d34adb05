package config

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
)

// maxErrors limits one report. Nobody reads more, and a hostile file could otherwise fill
// memory with errors.
const maxErrors = 100

// Error is one fault of a configuration. It never shows a secret. It shows a value only if the
// key expects a name or a value from a closed set, and the value is in the file itself.
type Error struct {
	File   string
	Line   int    // from 1; 0 for the whole file
	Column int    // from 1; 0 if unknown
	Key    string // the path of the key, such as callbacks[0].sink.s3.bucket
	Msg    string
	Err    error // the cause, if there is one; Msg contains its text
}

func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.File)
	if e.Line > 0 {
		fmt.Fprintf(&b, ":%d", e.Line)
		if e.Column > 0 {
			fmt.Fprintf(&b, ":%d", e.Column)
		}
	}
	b.WriteString(": ")
	if e.Key != "" {
		b.WriteString(e.Key)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Errors lists all faults of a configuration, by line.
type Errors []*Error

func (e Errors) Error() string {
	lines := make([]string, len(e))
	for i, one := range e {
		lines[i] = one.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the single errors.
func (e Errors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, one := range e {
		errs[i] = one
	}
	return errs
}

// Note is a warning for the operator that does not prevent a start.
type Note struct {
	File  string
	Line  int // from 1; 0 for the whole file
	Level slog.Level
	Text  string
}

// report collects errors and notes. Beyond its limit it only counts them.
type report struct {
	file  string
	errs  Errors
	more  int
	notes []Note

	redaction string // becomes Config.Redaction
}

func (r *report) add(n *node, path, format string, args ...any) {
	r.addError(n, path, fmt.Errorf(format, args...))
}

// addError adds err at the place of n, which may be nil.
func (r *report) addError(n *node, path string, err error) {
	if all, ok := err.(interface{ Unwrap() []error }); ok { //nolint:errorlint // joined errors are told one by one
		for _, one := range all.Unwrap() {
			r.addError(n, path, one)
		}
		return
	}
	if len(r.errs) == maxErrors {
		r.more++
		return
	}
	e := &Error{File: r.fileOf(n), Key: path, Msg: err.Error(), Err: errors.Unwrap(err)}
	if n != nil {
		e.Line, e.Column = n.line, n.column
		if n.origin != "" {
			e.Key = n.origin
		}
	}
	r.errs = append(r.errs, e)
}

// reported reports whether there already is an error at n.
func (r *report) reported(n *node) bool {
	file := r.fileOf(n)
	return n.line > 0 && slices.ContainsFunc(r.errs, func(e *Error) bool { return e.File == file && e.Line == n.line && e.Column == n.column })
}

// Place is a place in a configuration.
type Place struct {
	File string
	Line int // from 1; 0 for the whole file
}

// From describes p in an error at another place. In the same file the line alone is enough.
func (p Place) From(other Place) string {
	if p.File == other.File {
		return fmt.Sprintf("on line %d", p.Line)
	}
	return fmt.Sprintf("at %s:%d", p.File, p.Line)
}

func (r *report) placeOf(n *node) Place {
	p := Place{File: r.fileOf(n)}
	if n != nil {
		p.Line = n.line
	}
	return p
}

// fileOf returns the file of n.
func (r *report) fileOf(n *node) string {
	if n != nil && n.file != nil {
		return n.file.name
	}
	return r.file
}

func (r *report) info(n *node, format string, args ...any) {
	r.note(n, slog.LevelInfo, format, args...)
}
func (r *report) warn(n *node, format string, args ...any) {
	r.note(n, slog.LevelWarn, format, args...)
}

func (r *report) note(n *node, level slog.Level, format string, args ...any) {
	if len(r.notes) == maxErrors {
		return
	}
	note := Note{File: r.fileOf(n), Level: level, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		note.Line = n.line
	}
	r.notes = append(r.notes, note)
}

// err returns the collected errors, sorted, or nil if there are none.
func (r *report) err() error {
	if len(r.errs) == 0 {
		return nil
	}
	errs := slices.Clone(r.errs)
	slices.SortStableFunc(errs, func(a, b *Error) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column), cmp.Compare(a.Key, b.Key))
	})
	// Two checks may find the same fault, so equal errors are reported once.
	errs = slices.CompactFunc(errs, func(a, b *Error) bool {
		return a.File == b.File && a.Line == b.Line && a.Column == b.Column && a.Key == b.Key && a.Msg == b.Msg
	})
	if r.more > 0 {
		errs = append(errs, &Error{File: r.file, Msg: fmt.Sprintf("and %d more", r.more)})
	}
	return errs
}

func (r *report) sortedNotes() []Note {
	notes := slices.Clone(r.notes)
	slices.SortStableFunc(notes, func(a, b Note) int { return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line)) })
	return slices.Compact(notes)
}
