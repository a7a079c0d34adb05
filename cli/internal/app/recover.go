package app

import (
	"log/slog"

	"auditrelay/config"
	"auditrelay/runtime"
)

// JournalOf returns the data directory of a configuration, and how its journal is
// encrypted.
func JournalOf(file string, sinks map[string]SinkMaker) (dir string, e runtime.Encryption, err error) {
	makers, err := sinkMakers(sinks)
	if err != nil {
		return "", e, err
	}
	a := &assembler{file: file, makers: makers, log: slog.New(slog.DiscardHandler)}
	cfg, err := a.loadConfig(file)
	if err != nil {
		return "", e, err
	}
	return cfg.DataDir, encryptionOf(cfg), nil
}

func encryptionOf(cfg *config.Config) runtime.Encryption {
	e := cfg.Journal.Encryption
	return runtime.Encryption{Key: e.Key, PreviousKey: e.PreviousKey, Period: e.Period, Off: e.DecryptOnly}
}
