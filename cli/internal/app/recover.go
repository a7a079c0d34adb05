package app

import (
	"log/slog"

	"auditrelay/config"
	"auditrelay/runtime"
)

// JournalOf returns where a configuration's journal is, and how it is encrypted.
func JournalOf(files []string, sinks map[string]SinkMaker) (runtime.JournalPlace, error) {
	makers, err := sinkMakers(sinks)
	if err != nil {
		return runtime.JournalPlace{}, err
	}
	a := &assembler{file: files[0], makers: makers, log: slog.New(slog.DiscardHandler)}
	cfg, err := a.loadConfig(files[0], files[1:]...)
	if err != nil {
		return runtime.JournalPlace{}, err
	}
	return runtime.JournalPlace{DataDir: cfg.DataDir, Postgres: postgresOf(cfg), Encryption: encryptionOf(cfg)}, nil
}

func encryptionOf(cfg *config.Config) runtime.Encryption {
	e := cfg.Journal.Encryption
	return runtime.Encryption{Key: e.Key, PreviousKey: e.PreviousKey, Period: e.Period, Off: e.DecryptOnly}
}

func postgresOf(cfg *config.Config) runtime.PostgresJournal {
	p := cfg.Journal.Postgres
	return runtime.PostgresJournal{URL: p.URL, Schema: p.Schema, Takeover: p.Takeover}
}
