package litellm

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each case breaks the logger on purpose. The tests of its promises must notice.
func TestBrokenLoggersAreNoticed(t *testing.T) {
	for name, c := range map[string]struct {
		fault [2]string // source text and its replacement
		run   func(*testing.T, string, time.Duration) int
	}{
		"no sync of a segment":      {[2]string{"_write_all(self.fd, data)\n                os.fsync(self.fd)", "_write_all(self.fd, data)"}, powerLoss},
		"no sync of its folder":     {[2]string{"_sync_directory(self.own.path)", "pass"}, powerLoss},
		"told before it is synced":  {[2]string{"        return done\n", "        done = concurrent.futures.Future()\n        done.set_result(None)\n        return done\n"}, powerLoss},
		"not tried again":           {[2]string{"                delay = self._backoff(stall)\n", "                delay = self._backoff(stall)\n                self._settle(source, source.segments[0][1])\n"}, relayKilled},
		"deleted before it is sent": {[2]string{"        settled, stall = self._post(source, batch)", "        self._settle(source, batch[-1].end)\n        settled, stall = self._post(source, batch)"}, relayKilled},
		"leftovers are not adopted": {[2]string{"            source.load()\n", ""}, liteLLMKilled},
	} {
		t.Run(name, func(t *testing.T) {
			source, err := os.ReadFile("auditrelay_logger.py")
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(string(source), c.fault[0]) != 1 {
				t.Fatal("the place to break is not there, or not alone")
			}
			dir := t.TempDir()
			broken := strings.Replace(string(source), c.fault[0], c.fault[1], 1)
			if err := os.WriteFile(filepath.Join(dir, "auditrelay_logger.py"), []byte(broken), 0o600); err != nil {
				t.Fatal(err)
			}
			if c.run(t, dir, time.Second) == 0 {
				t.Error("nothing was lost")
			}
		})
	}
}
