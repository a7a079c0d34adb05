// Package compile fills wazero's compilation cache from a child process with its own
// limits. Compilation is an attack surface too: a small module can cost a compiler
// gigabytes and minutes, which neither recover nor a context ends. In a child process the
// worst result is an error.
//
// Fill starts a helper (a program that calls Child, as a rule the same binary)
// with the module on its standard input and an empty directory to compile into.
// Fill moves the result into the cache, with a record of its checksum: a damaged entry
// is compiled again, not run. The cache contains native code that runs as it is, so only
// the relay's user may have access.
//
// The caller loads the module's [Outline] instead of the module, since it decodes in a
// fraction of the time. The record has the outline and the caller's note, so a cached
// module is neither validated nor rewritten again.
package compile
