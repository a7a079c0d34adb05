package guest

// A DetectorRef is a selection of detectors.
type DetectorRef int32

// A Matcher finds parts of a text: a RegexRef or a DetectorRef.
type Matcher interface{ matcher() int32 }

func (r RegexRef) matcher() int32    { return int32(r) }
func (d DetectorRef) matcher() int32 { return int32(d) }

// Operation is what to do with the findings of a Matcher.
type Operation int32

const (
	MaskMatches   Operation = 1 // replace with "***"
	RemoveMatches Operation = 2 // remove
)

// Detector selects detectors by name or group ("secrets"), separated by commas. Call it only at
// the start. An unknown name fails the load.
func Detector(names string) DetectorRef { return DetectorRef(hostDetector(str(names))) }

// Detects reports whether d finds anything in the node, a string or number.
func (n Node) Detects(d DetectorRef) bool { return hostDetects(int32(n), int32(d)) == 1 }

// RedactMatches masks or removes the findings of m in a string, and returns their number.
func (n Node) RedactMatches(m Matcher, o Operation) int {
	return max(0, int(hostRedactMatches(int32(n), m.matcher(), int32(o))))
}

// RedactMatchesAll does this for every match of the path, and returns the number of changed
// values.
func (p PathRef) RedactMatchesAll(m Matcher, o Operation) int {
	return int(hostRedactMatchesAll(int32(p), m.matcher(), int32(o)))
}

// Partial replaces a string with "***" and its last count characters, at most half of it.
func (n Node) Partial(count int) bool { return hostPartial(int32(n), int32(count)) == 0 }

// PartialAll does this for every matching string.
func (p PathRef) PartialAll(count int) int { return int(hostPartialAll(int32(p), int32(count))) }
