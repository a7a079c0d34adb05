package compile

import (
	"time"

	"auditrelay"
	"auditrelay/internal/confine"
)

// lock permanently limits this process and leaves it one directory and no network.
func lock(dir string, memory int64, seconds int) error {
	_, err := confine.Lock(confine.Options{
		Writable: dir,
		FileSize: maxEntry,
		Memory:   auditrelay.ByteSize(memory),
		CPU:      time.Duration(seconds) * time.Second,
	})
	return err
}
