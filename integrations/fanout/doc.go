// Package fanout runs the program with five destinations at once, real ones where one can
// run here: one fails a fifth of its requests, one is dead for a while.
package fanout
