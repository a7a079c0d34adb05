// Package crashtest has tests that crash the real binary: kill -9 at random times, a disk that
// loses unsynced data, a full disk. Each test logs acknowledged events outside the relay and
// compares them with what arrived.
package crashtest
