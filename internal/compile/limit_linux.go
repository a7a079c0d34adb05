package compile

import (
	"time"

	"auditrelay"
	"auditrelay/internal/confine"
)

// lock leaves this process one directory and no network, and limits it for good.
func lock(dir string, memory int64, seconds int) error {
	_, err := confine.Lock(confine.Options{
		Writable: dir,
		FileSize: maxEntry,
		Memory:   auditrelay.ByteSize(memory),
		CPU:      time.Duration(seconds) * time.Second,
	})
	return err
}
