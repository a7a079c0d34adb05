package journal

import (
	"bytes"
	"log/slog"
	"regexp"
	"testing"
	"testing/synctest"
	"time"
)

// A burst is logged at once and then once a minute, with a count: 13 lines in six seconds had
// hidden the line with the reason of refused events.
func TestBurstsAreToldSeldom(t *testing.T) {
	var out bytes.Buffer
	synctest.Test(t, func(*testing.T) {
		s := seldom{log: slog.New(slog.NewTextHandler(&out, nil))}
		for range 121 {
			s.warn("it waits", "reason", "full")
			time.Sleep(time.Second)
		}
	})
	var got []string
	for _, m := range regexp.MustCompile(`msg="it waits" reason=full (times=\d+)`).FindAllStringSubmatch(out.String(), -1) {
		got = append(got, m[1])
	}
	if len(got) != 3 || got[0] != "times=1" || got[1] != "times=60" || got[2] != "times=60" {
		t.Errorf("told %v", got)
	}
}
