package runtime

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/pgstore"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// PostgresJournal stores the journal in a Postgres database instead of the data directory, so that it
// survives the loss of the relay's machine. Only one relay at a time uses it. The zero value is off.
type PostgresJournal struct {
	// URL is the connection string of the server itself, not of a connection pooler. Required.
	URL auditrelay.Secret
	// Schema is the database schema for the journal's tables. It must contain nothing else. Default:
	// auditrelay.
	Schema string
	// Takeover is how long a relay that stopped responding keeps the journal. A relay that starts meanwhile
	// waits for it. Default: 15 s; in a fleet 5 s.
	Takeover time.Duration
	// Fleet is the fleet of this relay, after Fleet.Await returned. Nil: the relay is alone.
	Fleet *Fleet
}

func (p *PostgresJournal) on() bool { return p.URL != "" }

func (p *PostgresJournal) schema() string { return cmp.Or(p.Schema, pgstore.DefaultSchema) }

// openJournal opens the journal at the place that the options name.
func openJournal(ctx context.Context, o Options, jo journal.Options) (*journal.Journal, error) {
	if o.Dir == "" && !o.Journal.Postgres.on() {
		jo.FS = vfs.NewMem()
		j, err := journal.Open("journal", jo)
		return j, wrapOpen("in memory", err)
	}
	if o.Dir != "" {
		if err := restored(o.Dir); err != nil {
			return nil, err
		}
		if err := elsewhere(o.Dir, o.Journal.Postgres.on()); err != nil {
			return nil, err
		}
	}
	if !o.Journal.Postgres.on() {
		dir := journalDir(o.Dir)
		j, err := journal.Open(dir, jo)
		return j, wrapOpen("in "+dir, err)
	}
	j, err := openPostgres(ctx, o, jo)
	return j, wrapOpen("on Postgres", err)
}

func wrapOpen(where string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("open the journal %s: %w", where, err)
}

func openPostgres(ctx context.Context, o Options, jo journal.Options) (*journal.Journal, error) {
	p := o.Journal.Postgres
	po := pgstore.Options{URL: p.URL, Schema: p.Schema, Lock: p.Takeover, Logger: jo.Logger, UnsafeNoSync: jo.UnsafeNoSync, UnsafeNoFence: o.Journal.UnsafeNoFence}
	if p.Fleet != nil {
		po.Member = p.Fleet.fleetMember
	}
	s, err := pgstore.Open(ctx, po)
	if err != nil {
		return nil, err
	}
	if p.Fleet != nil {
		p.Fleet.store = s
	}
	dir := ""
	if o.Dir != "" {
		dir = anchorDir(o.Dir)
	}
	return journal.OpenShared(s, dir, jo)
}

// Probe checks the server as Open would, and changes nothing. The warnings describe problems that do not
// prevent its use.
func (p *PostgresJournal) Probe(ctx context.Context) (warnings []string, err error) {
	all, err := pgstore.Probe(ctx, pgstore.Options{URL: p.URL, Schema: p.Schema})
	for _, w := range all {
		warnings = append(warnings, w.What+": "+w.Do)
	}
	return warnings, err
}

// anchorDir returns the directory that records the progress of a data directory's journal on a server.
func anchorDir(dataDir string) string { return filepath.Join(dataDir, "journal-postgres") }

// elsewhere returns an error if the data directory's journal is not where the configuration says. The
// pending events there would never be delivered.
func elsewhere(dataDir string, onPostgres bool) error {
	other, found, configured := anchorDir(dataDir), "on Postgres", "in the data directory"
	marker := filepath.Join(other, "ANCHOR")
	if onPostgres {
		other, found, configured = journalDir(dataDir), configured, found
		marker = filepath.Join(other, "HEAD")
	}
	_, err := os.Lstat(marker)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("the data directory %s: %w", dataDir, err)
	}
	return fmt.Errorf("the journal of the data directory %s is %s, and the configuration has it %s: events that wait there would not be delivered; "+
		"bring it over with auditrelay journal move, correct the configuration, or, if nothing in it is needed any more, remove %s", dataDir, found, configured, other)
}
