//go:build !unix

package compile

// lock does nothing on this system. Only the meter's limits on modules and the parent's time
// limit apply.
func lock(string, int64, int) error { return nil }
