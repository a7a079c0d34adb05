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

// noFenceVariable lets a relay go on committing after another one has its journal, for the
// test that shows what the fence is for.
const noFenceVariable = "AUDITRELAY_UNSAFE_NO_FENCE"

func unsafeNoFence(log *slog.Logger) bool {
	if os.Getenv(noFenceVariable) != "1" {
		return false
	}
	log.Error("a relay that lost its journal goes on writing to it, and damages it: " + noFenceVariable + " is set, which is for tests alone")
	return true
}
