// Package compile fills wazero's compilation cache from a child process with its own limits.
// Compilation is an attack surface too: a small module can make a compiler use gigabytes and
// minutes, and neither recover nor a context can stop that. With a child process the worst
// result is an error.
//
// Fill starts a helper, a program that calls Child and normally is the same binary. The helper
// gets the module on standard input and an empty directory to compile into. Fill moves the
// result into the cache, with a record of its checksum: a damaged entry is compiled again and
// not run. The cache contains native code that runs without further checks, so only the relay's
// user may have access to it.
//
// The caller loads the module's [Outline] instead of the module, because it decodes in a
// fraction of the time. The record contains the outline and the caller's note, so a cached
// module is neither validated nor rewritten again.
package compile
