package config

import (
	"strings"
	"testing"
)

func TestWhatMustNotLeaveIsCheckedAtLoad(t *testing.T) {
	const callback = "callbacks:\n  - name: a\n    sink: {s3: {}}\n    must_not_leave: "
	for text, want := range map[string]string{
		`{detectors: [secrets, sekrets]}`: `relay.yaml:4:43: callbacks[0].must_not_leave.detectors[1]: no detector is called sekrets`,
		`{paths: ["a..b"]}`:               `relay.yaml:4:30: callbacks[0].must_not_leave.paths[0]: path "a..b"`,
		`{}`:                              `relay.yaml:4:21: callbacks[0].must_not_leave: it names nothing`,
		`{paths: []}`:                     `relay.yaml:4:21: callbacks[0].must_not_leave: it names nothing`,
		`{detectors: secrets}`:            `relay.yaml:4:33: callbacks[0].must_not_leave.detectors`,
	} {
		_, err := Parse("relay.yaml", []byte(callback+text), LoadOptions{})
		if err == nil || !strings.Contains(err.Error(), want) || strings.Count(err.Error(), "must_not_leave") != 1 {
			t.Errorf("%s: got %v\nwant %s", text, err, want)
		}
	}
	c, err := Parse("relay.yaml", []byte(callback+`{detectors: [secrets], paths: ["**.~password"]}`), LoadOptions{})
	if err != nil || len(c.Callbacks[0].MustNotLeave.Detectors) != 1 || c.Callbacks[0].MustNotLeave.Paths[0] != "**.~password" {
		t.Errorf("got %+v, %v", c, err)
	}
	// The gate is part of a callback's digest.
	other, err := Parse("relay.yaml", []byte(callback+`{detectors: [secrets], paths: ["**.~token"]}`), LoadOptions{})
	if err != nil || c.CallbackDigest(nil, &c.Callbacks[0]) == other.CallbackDigest(nil, &other.Callbacks[0]) {
		t.Errorf("another gate has the same digest (%v)", err)
	}
}
