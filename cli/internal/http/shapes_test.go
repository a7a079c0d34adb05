package http

import (
	"reflect"
	"testing"

	"auditrelay"
	"auditrelay/runtime"
)

// The runtime's values reach the API completely: a field that a conversion forgets is a zero in
// the answer.
func TestShapesLoseNothing(t *testing.T) {
	for name, shape := range map[string]func() any{
		"callback": func() any {
			c := callbackStatus(full[runtime.CallbackStatus](t))
			c.Relay = "of a fleet" // the runtime does not know it
			return c
		},
		"deadLetter": func() any { return deadLetter(full[runtime.DeadLetter](t)) },
		"explained": func() any {
			e := explained(full[runtime.Explanation](t))
			e.Data = []byte("{}") // only if requested
			return e
		},
		"delivery":      func() any { return delivery(full[runtime.Delivery](t)) },
		"sinkTest":      func() any { return sinkTest(full[runtime.SinkTest](t)) },
		"deadReplay":    func() any { return deadReplay(full[runtime.DeadReplay](t)) },
		"receipt":       func() any { return receipt(full[runtime.Receipt](t)) },
		"stats":         func() any { return stats(full[runtime.Stats](t)) },
		"quarantine":    func() any { return quarantineItem(full[runtime.QuarantineItem](t)) },
		"period":        func() any { return period(full[runtime.Period](t)) },
		"replayStarted": func() any { return replayStarted(full[runtime.ReplayStarted](t)) },
		"verification":  func() any { return verification(full[runtime.Verified](t)) },
		"storedEvent":   func() any { return storedEvent(full[auditrelay.Event](t)) },
	} {
		for _, empty := range zeros(reflect.ValueOf(shape()), name) {
			t.Errorf("%s is empty", empty)
		}
	}
	// In the other direction: fields of the runtime that the API lacks are omitted on purpose.
	for _, pair := range []struct {
		from, to any
		without  int // number of omitted fields
	}{
		{runtime.CallbackStatus{}, callbackStatus(&runtime.CallbackStatus{}), 2}, // Findings and SetAside are for metrics, Held is in Retain; Relay is the API's
		{runtime.DeadLetter{}, deadLetter(&runtime.DeadLetter{}), 0},
		{runtime.Explanation{}, explained(&runtime.Explanation{}), -1}, // Data comes from elsewhere
		{runtime.Ending{}, ending(&runtime.Ending{}), 0},
		{runtime.Delivery{}, delivery(&runtime.Delivery{}), 0},
		{runtime.Attempt{}, attempt(&runtime.Attempt{}), 0},
		{runtime.DeadReplay{}, deadReplay(&runtime.DeadReplay{}), 0},
		{runtime.Receipt{}, receipt(&runtime.Receipt{}), 0},
		{runtime.ReceiptFilter{}, visit(&runtime.ReceiptFilter{}), 0},
		{runtime.Stats{}, stats(&runtime.Stats{}), 3},                            // memory and refusals are for metrics
		{runtime.QuarantineStats{}, stats(&runtime.Stats{}).Quarantine, 1},       // Arrived is for metrics
		{runtime.QuarantineItem{}, quarantineItem(&runtime.QuarantineItem{}), 1}, // Data has its own shape
		{runtime.Period{}, period(&runtime.Period{}), 0},
		{runtime.Verified{}, verification(&runtime.Verified{}), 0},
	} {
		from, to := reflect.TypeOf(pair.from), reflect.TypeOf(pair.to)
		if got := from.NumField() - to.NumField(); got != pair.without {
			t.Errorf("%v has %d fields, %v %d", from, from.NumField(), to, to.NumField())
		}
	}
}

// full returns a T without zero values.
func full[T any](t *testing.T) *T {
	t.Helper()
	v := new(T)
	fill(reflect.ValueOf(v).Elem())
	return v
}

func fill(v reflect.Value) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Field(i).CanSet() {
				fill(v.Field(i))
			}
		}
		if m := v.Addr().MethodByName("UnmarshalText"); m.IsValid() { // a time
			m.Call([]reflect.Value{reflect.ValueOf([]byte("2026-01-31T12:00:00Z"))})
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0))
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem())
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key)
		fill(value)
		v.SetMapIndex(key, value)
	case reflect.String:
		v.SetString("x")
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Float64:
		v.SetFloat(1)
	case reflect.Int, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint8, reflect.Uint64:
		v.SetUint(1)
	}
}

// zeros returns the empty parts of v.
func zeros(v reflect.Value, path string) (all []string) {
	if v.IsZero() {
		return []string{path}
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() {
				all = append(all, zeros(v.Field(i), path+"."+f.Name)...)
			}
		}
	case reflect.Slice:
		for i := range v.Len() {
			all = append(all, zeros(v.Index(i), path)...)
		}
	case reflect.Pointer:
		return zeros(v.Elem(), path)
	}
	return all
}
