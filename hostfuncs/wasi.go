package hostfuncs

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"log/slog"

	"github.com/tetratelabs/wazero/api"

	"auditrelay"
)

// Error numbers of WASI preview 1.
const (
	wasiOK      = 0
	wasiBadFD   = 8
	wasiInvalid = 28
	WASINoSys   = 52 // the result of an unsupported function
)

const (
	wasiVectors = 1024    // per fd_write
	wasiLine    = 1 << 10 // of stdout or stderr; longer lines are split
	unitsVector = 16      // cost of one vector of fd_write
	clockStep   = 1000    // nanoseconds that a read of the clock takes
)

// WASI returns the supported functions of WASI preview 1. All others return WASINoSys: there
// are no files, environment, arguments or sockets.
func WASI() []Function {
	i32, i64 := api.ValueTypeI32, api.ValueTypeI64
	return []Function{
		{Name: "args_get", Params: "argv argv_buf", Result: "errno", call: wasiNone},
		{Name: "args_sizes_get", Params: "count size", Result: "errno", call: wasiNoSizes},
		{Name: "environ_get", Params: "environ environ_buf", Result: "errno", call: wasiNone},
		{Name: "environ_sizes_get", Params: "count size", Result: "errno", call: wasiNoSizes},
		{Name: "clock_time_get", Params: "id precision time", Result: "errno", params: []api.ValueType{i32, i64, i32}, call: wasiClock},
		{Name: "random_get", Params: "buf len", Result: "errno", call: wasiRandom},
		{Name: "fd_write", Params: "fd iovs iovs_len written", Result: "errno", call: wasiWrite},
		{Name: "fd_fdstat_get", Params: "fd stat", Result: "errno", call: wasiStat},
		{Name: "fd_close", Params: "fd", Result: "errno", call: wasiBad},
		{Name: "fd_seek", Params: "fd offset whence size", Result: "errno", params: []api.ValueType{i32, i64, i32, i32}, call: wasiBad},
		{Name: "fd_prestat_get", Params: "fd prestat", Result: "errno", call: wasiBad},
		{Name: "fd_prestat_dir_name", Params: "fd path len", Result: "errno", call: wasiBad},
		{Name: "poll_oneoff", Params: "in out count events", Result: "errno", call: wasiPoll},
		{Name: "sched_yield", Result: "errno", call: wasiNone},
		{Name: "proc_exit", Params: "code", call: wasiExit},
	}
}

func wasiNone(_ *State, _ api.Memory, a []uint64) {
	if len(a) > 0 {
		a[0] = wasiOK
	}
}

func wasiBad(_ *State, _ api.Memory, a []uint64) { a[0] = wasiBadFD }

func wasiNoSizes(s *State, m api.Memory, a []uint64) {
	s.word(m, a[0], 0)
	s.word(m, a[1], 0)
	a[0] = wasiOK
}

func (s *State) word(m api.Memory, ptr uint64, v uint32) {
	binary.LittleEndian.PutUint32(s.bytes(m, ptr, 4), v)
}

// wasiClock returns the event's received time as the real time, so that a guest's result does
// not depend on when it runs. The monotonic clock starts at 0 and advances with each read and
// sleep.
func wasiClock(s *State, m api.Memory, a []uint64) {
	var t uint64
	switch uint32(a[0]) {
	case 0:
		if s.call != nil {
			t = uint64(s.call.Event.Received.UnixNano())
		}
	case 1:
		s.clock += clockStep
		t = s.clock
	default:
		a[0] = wasiInvalid
		return
	}
	binary.LittleEndian.PutUint64(s.bytes(m, a[2], 8), t)
	a[0] = wasiOK
}

// wasiRandom returns bytes that depend only on module, configuration and event.
func wasiRandom(s *State, m api.Memory, a []uint64) {
	b := s.bytes(m, a[0], a[1])
	if !s.seeded {
		s.seeded = true
		seed := s.policy.Seed
		if s.call != nil {
			s.scratch = append(append(s.scratch[:0], seed[:]...), s.call.Event.Namespace...)
			s.scratch = append(append(s.scratch, 0), s.call.Event.ID...)
			seed = sha256.Sum256(s.scratch)
		}
		s.random.Seed(seed)
	}
	for len(b) > 0 {
		n := min(len(b), piece)
		s.pay(n)
		_, _ = s.random.Read(b[:n])
		b = b[n:]
	}
	a[0] = wasiOK
}

// wasiWrite logs stdout and stderr as lines.
func wasiWrite(s *State, m api.Memory, a []uint64) {
	fd, vectors := uint32(a[0]), uint32(a[2])
	if fd != 1 && fd != 2 {
		a[0] = wasiBadFD
		return
	}
	if vectors > wasiVectors {
		a[0] = wasiInvalid
		return
	}
	written := uint32(0)
	for i := range vectors {
		s.pay(unitsVector)
		v := s.memory(m, a[1]+uint64(i)*8, 8)
		b := s.bytes(m, uint64(binary.LittleEndian.Uint32(v)), uint64(binary.LittleEndian.Uint32(v[4:])))
		s.write(int(fd-1), b)
		written += uint32(len(b))
	}
	s.word(m, a[3], written)
	a[0] = wasiOK
}

func (s *State) write(stream int, b []byte) {
	for len(b) > 0 {
		line := &s.output[stream]
		// Only as far as the line has room; the rest is processed in the next round.
		n, whole := min(len(b), wasiLine-len(*line)), false
		if i := bytes.IndexByte(b[:n], '\n'); i >= 0 {
			n, whole = i, true
		}
		*line = append(*line, b[:n]...)
		b = b[n:]
		if whole {
			b = b[1:]
		}
		if whole || len(*line) == wasiLine {
			s.pay(unitsLog)
			s.line(stream)
		}
	}
}

func (s *State) line(stream int) {
	level := slog.LevelInfo
	if stream == 1 {
		level = slog.LevelWarn
	}
	if len(s.output[stream]) > 0 {
		s.log(level, s.output[stream])
	}
	s.output[stream] = s.output[stream][:0]
}

// flush logs the unfinished lines, so that one event's output never mixes with the next one's.
func (s *State) flush() {
	for stream := range s.output {
		if len(s.output[stream]) > 0 {
			s.line(stream)
		}
	}
}

// wasiStat reports stdin, stdout and stderr as character devices.
func wasiStat(s *State, m api.Memory, a []uint64) {
	if uint32(a[0]) > 2 {
		a[0] = wasiBadFD
		return
	}
	stat := s.bytes(m, a[1], 24)
	clear(stat)
	stat[0] = 2
	a[0] = wasiOK
}

// wasiPoll makes all awaited clocks ready at once: the virtual clock advances to the latest of
// them. Nothing else can be awaited.
func wasiPoll(s *State, m api.Memory, a []uint64) {
	count := uint32(a[2])
	if count == 0 || count > wasiVectors {
		a[0] = wasiInvalid
		return
	}
	in := s.bytes(m, a[0], uint64(count)*48)
	out := s.bytes(m, a[1], uint64(count)*32)
	now := s.clock
	for i := range int(count) {
		sub, event := in[i*48:][:48], out[i*32:][:32]
		clear(event)
		copy(event, sub[:8]) // userdata
		event[10] = sub[8]   // the kind of subscription
		if sub[8] != 0 {
			binary.LittleEndian.PutUint16(event[8:], wasiBadFD)
			continue
		}
		at := binary.LittleEndian.Uint64(sub[24:])
		if binary.LittleEndian.Uint16(sub[40:])&1 == 0 { // a relative time
			at = now + min(at, 1<<62)
		}
		s.clock = max(s.clock, min(at, 1<<62))
	}
	s.word(m, a[3], count)
	a[0] = wasiOK
}

// wasiExit ends the call. A reactor has nothing to exit from, so this is a toolchain's panic or
// abort.
func wasiExit(s *State, _ api.Memory, a []uint64) {
	s.flush()
	s.fail(auditrelay.CauseTrap, fmt.Sprintf("the guest exited with code %d; a panic or an abort of its runtime ends so, and what it printed is in the log", int32(uint32(a[0]))))
}
