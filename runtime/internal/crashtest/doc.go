// Package crashtest holds tests of the real binary that take it down: kill -9 at
// random times, a disk that loses what was not synced, a full disk. What was
// acknowledged is logged outside and compared, at the end, with what arrived.
package crashtest
