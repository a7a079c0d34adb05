package guest

import "unsafe"

// A PathRef is an interned path.
type PathRef int32

// A RegexRef is a compiled regular expression.
type RegexRef int32

// A Node is one value of the event, or of the configuration. It is valid until the event's
// function returns. NoNode means no value.
type Node int32

const (
	NoNode Node = -1
	Root   Node = 0 // the whole event
)

// Kind is the kind of a node's value.
type Kind int32

const (
	Absent Kind = iota
	Null
	Bool
	Number
	String
	Object
	Array
)

// Level is a log line's level.
type Level int32

const (
	Debug Level = iota
	Info
	Warn
	Error
)

// Error codes of host functions.
const (
	ErrAbsent     = -1 // no such node or value
	ErrWrongKind  = -2 // the node is of another kind
	ErrTooLarge   = -3 // over a limit
	ErrExists     = -4 // the object already has this key
	ErrNotGranted = -5 // an optional function that was not granted
	ErrUnknown    = -6 // an optional function that the host does not have
)

// Path interns a path. Call it only at the start. An invalid path fails the load.
func Path(path string) PathRef { return PathRef(hostPath(str(path))) }

// Regex compiles a regular expression (RE2). Call it only at the start.
func Regex(expr string) RegexRef { return RegexRef(hostRegex(str(expr))) }

// Find returns the first match in the event.
func (p PathRef) Find() Node { return Node(hostFind(int32(p))) }

// Each returns the match after previous, in document order. Pass NoNode for the first.
func (p PathRef) Each(previous Node) Node { return Node(hostEach(int32(p), int32(previous))) }

// FindConfig returns the first match in the filter's configuration.
func (p PathRef) FindConfig() Node { return Node(hostConfigFind(int32(p))) }

// Is reports whether the first match is a string equal to s.
func (p PathRef) Is(s string) bool {
	ptr, n := str(s)
	return hostIs(int32(p), ptr, n) == 1
}

// MaskAll replaces every match with "***" and returns the number of matches.
func (p PathRef) MaskAll() int { return int(hostMaskAll(int32(p))) }

// DeleteAll deletes every match and returns the number of matches.
func (p PathRef) DeleteAll() int { return int(hostDeleteAll(int32(p))) }

// HMACAll replaces every match with its pseudonym under the key of this name.
func (p PathRef) HMACAll(key string) int {
	ptr, n := str(key)
	return int(hostHmacAll(int32(p), ptr, n))
}

// TruncateAll keeps the first n characters of every matching string.
func (p PathRef) TruncateAll(n int) int { return int(hostTruncateAll(int32(p), int32(n))) }

// SetJSONAll replaces every match with the value in json.
func (p PathRef) SetJSONAll(json []byte) int {
	ptr, n := raw(json)
	return int(hostSetJsonAll(int32(p), ptr, n))
}

// SetStringAll replaces every match with the string s.
func (p PathRef) SetStringAll(s string) int {
	ptr, n := str(s)
	return int(hostSetStringAll(int32(p), ptr, n))
}

// Child returns the child after previous. Pass NoNode for the first.
func (n Node) Child(previous Node) Node { return Node(hostChild(int32(n), int32(previous))) }

// Len returns the number of children of an object or array.
func (n Node) Len() int { return int(hostLength(int32(n))) }

// Kind returns the kind of the node's value.
func (n Node) Kind() Kind { return Kind(hostKind(int32(n))) }

// AppendKey appends the node's key, or its index in an array.
func (n Node) AppendKey(dst []byte) []byte {
	return fill(dst, func(buf unsafe.Pointer, c uint32) int32 { return hostKey(int32(n), buf, c) })
}

// AppendJSON appends the node's value as JSON.
func (n Node) AppendJSON(dst []byte) []byte {
	return fill(dst, func(buf unsafe.Pointer, c uint32) int32 { return hostGet(int32(n), buf, c) })
}

// AppendString appends the value of a string node without quotes and escapes. For other nodes
// it appends nothing.
func (n Node) AppendString(dst []byte) []byte {
	return fill(dst, func(buf unsafe.Pointer, c uint32) int32 { return hostGetString(int32(n), buf, c) })
}

// Text is like AppendString, but returns a string.
func (n Node) Text() string { return string(n.AppendString(nil)) }

// Matches reports whether the node is a string in which r matches.
func (n Node) Matches(r RegexRef) bool { return hostMatches(int32(n), int32(r)) == 1 }

// SetJSON replaces the node with the value in json.
func (n Node) SetJSON(json []byte) bool {
	ptr, c := raw(json)
	return hostSetJson(int32(n), ptr, c) == 0
}

// SetString replaces the node with the string s.
func (n Node) SetString(s string) bool {
	ptr, c := str(s)
	return hostSetString(int32(n), ptr, c) == 0
}

// Put adds a new key at the end of an object. It does nothing if the object already has the
// key.
func (n Node) Put(key string, json []byte) bool {
	kp, kn := str(key)
	ptr, c := raw(json)
	return hostPut(int32(n), kp, kn, ptr, c) == 0
}

// Delete deletes the node.
func (n Node) Delete() bool { return hostDelete(int32(n)) == 0 }

// Mask replaces the node with "***".
func (n Node) Mask() bool { return hostMask(int32(n)) == 0 }

// Truncate keeps the first count characters of a string.
func (n Node) Truncate(count int) bool { return hostTruncate(int32(n), int32(count)) == 0 }

// HMAC replaces the node with its pseudonym under the key of this name.
func (n Node) HMAC(key string) bool {
	ptr, c := str(key)
	return hostHmac(int32(n), ptr, c) == 0
}

// AppendQuery appends the JSON result of a gjson query on the event.
func AppendQuery(dst []byte, query string) []byte {
	ptr, n := str(query)
	return fill(dst, func(buf unsafe.Pointer, c uint32) int32 { return hostQuery(ptr, n, buf, c) })
}

// AppendEvent appends the whole event in its current state.
func AppendEvent(dst []byte) []byte { return fill(dst, hostEventRead) }

// EventLen returns the length of the whole event in its current state.
func EventLen() int { return int(hostEventLen()) }

// ReplaceEvent replaces the event with another document. Its changes must be granted, or the
// event fails.
func ReplaceEvent(json []byte) { hostEventReplace(raw(json)) }

// Emit sends a record, a JSON object, to a callback. It takes effect with the verdict.
func Emit(callback string, json []byte) {
	np, nn := str(callback)
	ptr, n := raw(json)
	hostEmit(np, nn, ptr, n)
}

// Reason sets the reason shown with the event's outcome.
func Reason(text string) { hostReason(str(text)) }

// AppendConfig appends the filter's configuration as JSON, or nothing if there is none.
func AppendConfig(dst []byte) []byte { return fill(dst, hostConfig) }

// Sequence returns the event's position in the journal.
func Sequence() uint64 { return uint64(hostSequence()) }

// Received returns the time when the event was accepted, in Unix nanoseconds.
func Received() int64 { return hostReceived() }

// Log writes a line to the relay's log. The number of lines is limited.
func Log(level Level, text string) {
	ptr, n := str(text)
	hostLog(int32(level), ptr, n)
}

// Count adds n to a metric that the manifest requests and the operator granted. It takes effect
// with the verdict.
func Count(metric string, n uint32) {
	ptr, length := str(metric)
	hostCount(ptr, length, n)
}

// Fail fails the event or, at the start, the load. It does not return.
func Fail(text string) {
	hostFail(str(text))
	panic("unreachable")
}

// Has reports whether the host has a function and grants it.
func Has(function string) bool {
	ptr, n := str(function)
	return hostHas(ptr, n) == 1
}

func str(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

func raw(b []byte) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.SliceData(b)), uint32(len(b))
}

// fill appends the output of a host function. It grows dst once if it is too small.
func fill(dst []byte, call func(buf unsafe.Pointer, capacity uint32) int32) []byte {
	for {
		free := dst[len(dst):cap(dst)]
		n := int(call(unsafe.Pointer(unsafe.SliceData(free)), uint32(len(free))))
		if n <= 0 {
			return dst
		}
		if n <= len(free) {
			return dst[:len(dst)+n]
		}
		dst = append(make([]byte, 0, len(dst)+n), dst...)
	}
}
