// Package compile fills wazero's compilation cache from a child process that has
// limits of its own. Compiling is an attack too: a small module can be made to
// take a compiler gigabytes and minutes, which no recover and no context ends. In
// a child the worst that comes of it is an error.
//
// Fill starts a helper (a program that calls Child, as a rule the same binary)
// with the module on its standard input and an empty directory to compile into.
// What it leaves there is moved into the cache, and a record beside it keeps the
// entry's checksum, so that an entry that was damaged since is made anew and not
// run. The cache holds native code that is run as it is found: it must be the
// relay's alone.
//
// What is loaded is not the module but its [Outline], which is decoded in a
// fraction of the time. The record has that, and what the caller noted of the
// module, so that one that was compiled before is neither validated nor rewritten
// again.
package compile
