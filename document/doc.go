// Package document is one JSON document, as filters see it: checked once,
// indexed lazily, edited as an overlay, serialised once.
//
// [Check] decides at the door whether bytes are one JSON object of the strict
// kind. A [Document] is then laid over those bytes: [Document.Find] and
// [Document.Each] look up a [Path] and give nodes, edits are kept beside the
// original bytes, and [Document.Append] writes the result. Whatever no edit
// touched comes out byte for byte as it went in.
//
// # Strings that hold JSON
//
// A string whose whole content, but for white space around it, is a JSON object
// or array can be stepped into: paths, Child and edits go through it as if the
// value stood there itself. Read as a value it stays a string, and an edit inside
// it writes the same string again, its untouched parts as they were. At most 8
// such strings may lie inside one another, each of at most 4 MiB and no deeper
// than the document's limit; what is beyond is a plain string.
//
// # Paths
//
// The grammar is written down, with a table of cases, in docs/reference/paths.md.
//
// A Document trusts the bytes given to Reset to have passed Check; on others its
// answers mean nothing, yet it does not panic.
package document
