package app

import (
	"log/slog"
	"os"
)

// noSyncVariable makes the relay acknowledge events without waiting for the disk. It is only
// for the power-loss test, which shows that it detects the loss. It is not documented for
// operators.
const noSyncVariable = "AUDITRELAY_UNSAFE_NO_SYNC"

func unsafeNoSync(log *slog.Logger) bool {
	if os.Getenv(noSyncVariable) != "1" {
		return false
	}
	log.Error("events are acknowledged without waiting for the disk and will be lost: " + noSyncVariable + " is set, which is for tests alone")
	return true
}

// noFenceVariable lets a relay commit after another one has taken over its journal, for the
// test of the fence.
const noFenceVariable = "AUDITRELAY_UNSAFE_NO_FENCE"

func unsafeNoFence(log *slog.Logger) bool {
	if os.Getenv(noFenceVariable) != "1" {
		return false
	}
	log.Error("a relay that lost its journal goes on writing to it, and damages it: " + noFenceVariable + " is set, which is for tests alone")
	return true
}
