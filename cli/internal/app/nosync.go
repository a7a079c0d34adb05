package app

import (
	"log/slog"
	"os"
)

// noSyncVariable has the relay acknowledge events without waiting for the disk.
// It exists so that the power-loss test can show that it notices; nothing
// documents it to operators.
const noSyncVariable = "AUDITRELAY_UNSAFE_NO_SYNC"

func unsafeNoSync(log *slog.Logger) bool {
	if os.Getenv(noSyncVariable) != "1" {
		return false
	}
	log.Error("events are acknowledged without waiting for the disk and will be lost: " + noSyncVariable + " is set, which is for tests alone")
	return true
}
