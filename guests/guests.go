// Package guests holds what a guest is started from: the SDKs and a folder to
// begin with for each language, as the command line writes them.
package guests

import "embed"

// Files are the SDKs' sources below sdk/LANGUAGE, and the beginnings below
// scaffold/LANGUAGE.
//
//go:embed sdk/go/*.go sdk/c/*.h sdk/rust/*.rs sdk/assemblyscript/*.ts scaffold/*/*
var Files embed.FS
