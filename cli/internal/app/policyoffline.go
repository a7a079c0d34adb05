package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"

	"auditrelay/config"
)

// withPoliciesOf returns cfg with the policies that policy use selected in its data directory,
// as serve would apply them. Notes list them. It skips a data directory that this user may not
// read, with a note.
func withPoliciesOf(cfg *config.Config) (*config.Config, error) {
	note := func(level slog.Level, format string, args ...any) config.Note {
		return config.Note{File: cfg.DataDir, Level: level, Text: fmt.Sprintf(format, args...)}
	}
	all, err := dataDir(cfg.DataDir).selectedPolicies()
	if errors.Is(err, fs.ErrPermission) {
		cfg.Notes = append(cfg.Notes, note(slog.LevelWarn, "this user may not read which policies were selected there (policy use): the configuration's are taken"))
		return cfg, nil
	}
	if err != nil || len(all) == 0 {
		return cfg, err
	}
	out, lapsed, err := withSelected(cfg, all)
	if err != nil {
		return nil, err
	}
	copied := *out
	copied.Notes = slices.Clone(out.Notes)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if s := all[name]; s.Policy != "" && s.holds(cfg, name) {
			copied.Notes = append(copied.Notes, note(slog.LevelInfo, "filter %s has the policy that %s selected at %s, not the configuration's", name, s.By, s.At.Format("2006-01-02 15:04 UTC")))
		}
	}
	for _, name := range lapsed {
		copied.Notes = append(copied.Notes, note(slog.LevelWarn, "filter %s: the policy that was selected (policy use) lapses: the configuration has another policy than then", name))
	}
	return &copied, nil
}
