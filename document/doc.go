// Package document implements the JSON document that filters read and edit. It checks the document once,
// indexes it lazily, stores edits as an overlay, and serialises it once.
//
// [Check] decides whether the input is one strict JSON object. A [Document] is then an overlay on those
// bytes. [Document.Find] and [Document.Each] look up a [Path] and return nodes. Edits are stored separately
// from the original bytes, and [Document.Append] writes the result. Bytes without edits stay exactly the
// same.
//
// # Strings that hold JSON
//
// If the whole content of a string, apart from white space, is a JSON object or array, paths can enter it.
// Paths, Child and edits then work as if the value were not in a string. Kind still returns String. An edit
// inside such a string rewrites the string; its other parts do not change. At most 8 such strings can be
// nested. Each can have at most 4 MiB and the document's maximum depth. Beyond these limits they are plain
// strings.
//
// # Paths
//
// docs/reference/paths.md has the grammar, with a table of cases.
//
// The bytes given to Reset must have passed Check. On other bytes the results are meaningless, but Document
// does not panic.
package document
