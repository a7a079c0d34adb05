// Package compile fills wazero's compilation cache from a child process that has
// limits of its own. Compiling is an attack too: a small module can be made to
// take a compiler gigabytes and minutes, which no recover and no context ends. In
// a child the worst that comes of it is an error.
//
// Fill starts a helper (a program that calls Child, as a rule the same binary)
// with the module on its standard input and an empty directory to compile into.
// What it leaves there is moved into the cache, and a record beside it keeps the
// entry's digest, so that an entry that was damaged since is made anew and not
// run. The cache holds native code that is run as it is found: it must be the
// relay's alone.
package compile
