// Package document holds one JSON document as filters see it: checked once, indexed
// lazily, edited as an overlay, serialised once.
//
// [Check] decides whether the input is one strict JSON object. A [Document] is then an
// overlay on those bytes. [Document.Find] and [Document.Each] look up a [Path] and
// return nodes. Edits are kept beside the original bytes, and [Document.Append] writes
// the result. What no edit touched comes out byte for byte as it went in.
//
// # Strings that hold JSON
//
// A string whose whole content (white space aside) is a JSON object or array can be
// entered: paths, Child and edits work as if the value stood there itself. Read, it is a
// string. An edit inside it rewrites that string; untouched parts stay as they were. Up to
// 8 such strings may be nested, each of at most 4 MiB and no deeper than the document's
// limit. Beyond that they are plain strings.
//
// # Paths
//
// docs/reference/paths.md has the grammar, with a table of cases.
//
// A Document trusts that the bytes given to Reset have passed Check. On other bytes its
// answers are meaningless, but it does not panic.
package document
