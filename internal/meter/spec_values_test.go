package meter

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// A specValue is an argument or a result as the suite has it.
type specValue struct {
	Type  string          `json:"type"`
	Lanes string          `json:"lane_type"`
	Value json.RawMessage `json:"value"` // a string, or one for each lane; nothing: any reference
}

// bits returns what wazero takes for it.
func (v specValue) bits() []uint64 {
	lanes, width := v.lanes()
	out := make([]uint64, max(1, len(lanes)*width/64))
	for i, lane := range lanes {
		out[i*width/64] |= v.number(lane, width) << (i * width % 64)
	}
	return out
}

func (v specValue) lanes() (lanes []string, width int) {
	kind := v.Type
	var err error
	if kind == "v128" {
		kind = v.Lanes
		err = json.Unmarshal(v.Value, &lanes)
	} else {
		lanes = []string{""}
		err = json.Unmarshal(v.Value, &lanes[0])
	}
	width = 64
	if n, found := strings.CutPrefix(strings.TrimPrefix(kind, "i"), "f"); found || kind[0] == 'i' {
		width, _ = strconv.Atoi(n)
	}
	if err != nil {
		panic(err)
	}
	return lanes, width
}

func (v specValue) number(s string, width int) uint64 {
	if s == "null" {
		return 0
	}
	n, err := strconv.ParseUint(s, 10, width)
	if signed, signedErr := strconv.ParseInt(s, 10, width); err != nil && signedErr == nil {
		n, err = uint64(signed)&(1<<width-1), nil
	}
	if err != nil {
		panic(err)
	}
	if v.Type == "externref" {
		n++ // wazero's null is 0
	}
	return n
}

// same compares results with what is expected.
func same(got []uint64, types []valueType, want []specValue) error {
	if len(types) != len(want) {
		return fmt.Errorf("%d results, want %d", len(types), len(want))
	}
	for i, w := range want {
		if typeName(types[i]) != w.Type {
			return fmt.Errorf("result %d is %s, want %s", i, typeName(types[i]), w.Type)
		}
		have := got[:1]
		if types[i] == v128 {
			have = got[:2]
		}
		got = got[len(have):]
		if !w.matches(have) {
			return fmt.Errorf("result %d is %#x, want %s", i, have, w.Value)
		}
	}
	return nil
}

func (v specValue) matches(have []uint64) bool {
	if v.Value == nil {
		return v.Type == "funcref" || v.Type == "externref"
	}
	lanes, width := v.lanes()
	for i, want := range lanes {
		lane := have[i*width/64] >> (i * width % 64) & (1<<width - 1)
		quiet := uint64(0x7fc00000)
		if width == 64 {
			quiet = 0x7ff8000000000000
		}
		switch want {
		case "nan:canonical":
			if lane&^(1<<(width-1)) != quiet {
				return false
			}
		case "nan:arithmetic":
			if lane&quiet != quiet {
				return false
			}
		default:
			if lane != v.number(want, width) {
				return false
			}
		}
	}
	return true
}
