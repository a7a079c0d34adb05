package document

import "time"

// longestTime limits the length of a text that is parsed as a time. A date, a time, a fraction and an
// offset to the microsecond need 42 bytes; further digits of a fraction are skipped.
const longestTime = 64

// ParseTime parses an event's updated_at in the formats of Python's isoformat, RFC 3339 and Postgres, and
// returns it in UTC:
//
//	date = YYYY-MM-DD, then T, t or a space, then HH:MM[:SS[.fraction]]
//	offset = Z, z, ±HH, ±HHMM, ±HH:MM or ±HH:MM:SS[.fraction]; none is UTC
//
// naive says that there was no offset. Digits beyond a nanosecond are cut. ok is false if b is not such a
// time, or if its year in UTC is not in 0001 to 9999, which a date in an object key could not show.
func ParseTime(b []byte) (t time.Time, naive, ok bool) {
	c := clock{b: b, ok: len(b) <= longestTime}
	year := c.number(4)
	c.expect("-")
	month := c.number(2)
	c.expect("-")
	day := c.number(2)
	c.expect("Tt ")
	hour := c.number(2)
	c.expect(":")
	minute := c.number(2)
	second, nanosecond := c.seconds(":")
	naive = len(c.b) == 0
	var offset time.Duration
	if !naive {
		offset = c.offset()
	}
	if !c.ok || len(c.b) > 0 || hour > 23 || minute > 59 || second > 59 || month < 1 || month > 12 || day < 1 {
		return time.Time{}, false, false
	}
	t = time.Date(year, time.Month(month), day, hour, minute, second, nanosecond, time.UTC)
	if t.Day() != day { // for example the 30th of February
		return time.Time{}, false, false
	}
	t = t.Add(-offset)
	if y := t.Year(); y < 1 || y > 9999 {
		return time.Time{}, false, false
	}
	return t, naive, true
}

// clock parses a time from left to right. ok becomes false at the first fault.
type clock struct {
	b  []byte
	ok bool
}

// number reads exactly n digits.
func (c *clock) number(n int) (v int) {
	if len(c.b) < n {
		c.ok = false
		return 0
	}
	for _, d := range c.b[:n] {
		if d < '0' || d > '9' {
			c.ok = false
			return 0
		}
		v = v*10 + int(d-'0')
	}
	c.b = c.b[n:]
	return v
}

// expect reads one byte, which must be in set.
func (c *clock) expect(set string) {
	if !c.accept(set) {
		c.ok = false
	}
}

// accept reads one byte if it is in set.
func (c *clock) accept(set string) bool {
	if len(c.b) > 0 {
		for i := range len(set) {
			if c.b[0] == set[i] {
				c.b = c.b[1:]
				return true
			}
		}
	}
	return false
}

// seconds reads [:SS[.fraction]].
func (c *clock) seconds(colon string) (second, nanosecond int) {
	if !c.accept(colon) {
		return 0, 0
	}
	second = c.number(2)
	if !c.accept(".") {
		return second, 0
	}
	digits := 0
	for ; len(c.b) > 0 && '0' <= c.b[0] && c.b[0] <= '9'; c.b = c.b[1:] {
		if digits++; digits <= 9 {
			nanosecond = nanosecond*10 + int(c.b[0]-'0')
		}
	}
	if digits == 0 {
		c.ok = false
	}
	for ; digits < 9; digits++ {
		nanosecond *= 10
	}
	return second, nanosecond
}

// offset reads the offset after the time and returns how far it is ahead of UTC.
func (c *clock) offset() time.Duration {
	if c.accept("Zz") {
		return 0
	}
	west := c.accept("-")
	if !west {
		c.expect("+")
	}
	hour := c.number(2)
	minute, second, nanosecond := 0, 0, 0
	if len(c.b) > 0 {
		colon := c.accept(":")
		minute = c.number(2)
		if colon {
			second, nanosecond = c.seconds(":")
		}
	}
	if hour > 23 || minute > 59 || second > 59 {
		c.ok = false
	}
	d := time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second + time.Duration(nanosecond)
	if west {
		return -d
	}
	return d
}
