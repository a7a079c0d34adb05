package guest

// A DetectorRef is a selection of detectors.
type DetectorRef int32

// A Matcher finds parts of a text: a RegexRef or a DetectorRef.
type Matcher interface{ matcher() int32 }

func (r RegexRef) matcher() int32    { return int32(r) }
func (d DetectorRef) matcher() int32 { return int32(d) }

// Operation is what becomes of what a Matcher finds.
type Operation int32

const (
	MaskMatches   Operation = 1 // "***" in its place
	RemoveMatches Operation = 2 // nothing in its place
)

// Detector selects detectors by name or group ("secrets"), several separated by
// commas; only at the start. An unknown name fails the load.
func Detector(names string) DetectorRef { return DetectorRef(hostDetector(str(names))) }

// Detects reports whether d finds something in the node, a string or number.
func (n Node) Detects(d DetectorRef) bool { return hostDetects(int32(n), int32(d)) == 1 }

// RedactMatches masks or removes what m finds in a string, and returns how much that
// was.
func (n Node) RedactMatches(m Matcher, o Operation) int {
	return max(0, int(hostRedactMatches(int32(n), m.matcher(), int32(o))))
}

// RedactMatchesAll does so with every match, and returns how many were changed.
func (p PathRef) RedactMatchesAll(m Matcher, o Operation) int {
	return int(hostRedactMatchesAll(int32(p), m.matcher(), int32(o)))
}

// Partial makes a string "***" and its last count characters, never more than half
// of it.
func (n Node) Partial(count int) bool { return hostPartial(int32(n), int32(count)) == 0 }

// PartialAll does so with every string that matches.
func (p PathRef) PartialAll(count int) int { return int(hostPartialAll(int32(p), int32(count))) }
