// Package fanout runs the program with five destinations at once, real ones where possible. One
// fails a fifth of its requests, and one is dead for a while.
package fanout
