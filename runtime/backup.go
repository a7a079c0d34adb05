package runtime

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// tableBackup is the table_name of own records about backups.
const tableBackup = "auditrelay_backup"

// Backup copies the journal at one point in time to the directory dir, which must not exist (fs.ErrExist).
// Own records report its start and its result; by is the user. The runtime continues to accept events. If
// also is not nil, Backup calls it with the unfinished directory, so that the caller can add files; also
// need not sync them.
//
// Backup first signs all logs of proofs, so that the backup's proofs cover all its events.
//
// dir appears only when it is complete, with digests of all its files. An interrupted backup stays in dir +
// PartialSuffix, and the next Backup to dir removes it.
func (r *Runtime) Backup(ctx context.Context, dir string, by By, also func(dir string) error) error {
	if r.onPostgres {
		return ErrOnPostgres
	}
	if _, err := os.Lstat(dir); err == nil {
		return fmt.Errorf("backup to %s: %w", dir, fs.ErrExist)
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	act, err := r.begin(Change{By: by, Act: "backup", Action: auditrelay.ActionCreated, Table: tableBackup, Object: filepath.Base(dir)}, dir)
	if err != nil {
		return fmt.Errorf("backup to %s: %w", dir, err)
	}
	r.signAll(ctx)
	err = r.backup(dir, also)
	return errors.Join(err, act.End(nil, err))
}

func (r *Runtime) backup(dir string, also func(dir string) error) error {
	partial := dir + PartialSuffix
	if err := os.RemoveAll(partial); err != nil {
		return fmt.Errorf("backup to %s: %w", dir, err)
	}
	if err := journal.Backup(r.journal, partial); err != nil {
		return err
	}
	if also != nil {
		if err := also(partial); err != nil {
			return err
		}
	}
	if err := sealBackup(partial, r.journal.Identity().String()); err != nil {
		return fmt.Errorf("backup to %s: %w", dir, err)
	}
	if err := os.Rename(partial, dir); err != nil {
		return err
	}
	return syncDir(filepath.Dir(dir))
}

// PartialSuffix is the suffix of an unfinished backup's name.
const PartialSuffix = ".partial"

// Migrate converts a closed data directory to this program's format. It changes nothing if the directory
// already has that format.
func Migrate(dataDir string) error {
	return journal.Migrate(journalDir(dataDir), journal.Options{})
}

// ErrUnverified: an old version that wrote no digests made the backup, so it may be incomplete.
var ErrUnverified = errors.New("unverified: the backup has no digests, since an older version made it; it may be incomplete")

// Restore creates a data directory from a backup. It first checks every file of the backup. dataDir must be
// missing or empty. The new journal gets a new incarnation, so that its new sequences cannot be confused
// with the original's. An own record of the restore is its first new event; by is the user. If also is not
// nil, Restore calls it with a directory and then moves that directory's files to dataDir.
//
// Open rejects dataDir until it is complete. If Restore is interrupted, call it again. Restore also accepts
// a backup without digests, and then returns ErrUnverified.
func Restore(backup, dataDir string, by By, also func(dir string) error) error {
	unverified := VerifyBackup(backup)
	if unverified != nil && !errors.Is(unverified, ErrUnverified) {
		return unverified
	}
	if err := restore(backup, dataDir, by, also); err != nil {
		return fmt.Errorf("restore %s: %w", backup, err)
	}
	return unverified
}

// restoringName is the name of a directory that exists in the data directory during a restore.
const restoringName = "restoring"

func restore(backup, dataDir string, by By, also func(dir string) error) error {
	building := filepath.Join(dataDir, restoringName)
	if err := beginRestore(dataDir, building); err != nil {
		return err
	}
	if err := journal.Restore(backup, journalDir(building), journal.Options{}); err != nil {
		return err
	}
	if also != nil {
		if err := also(building); err != nil {
			return err
		}
	}
	c := Change{By: by, Act: "restore", Action: auditrelay.ActionCreated, Table: tableBackup, Object: filepath.Base(backup)}
	if err := c.keep(building); err != nil {
		return err
	}
	if err := syncTree(building, nil); err != nil {
		return err
	}
	entries, err := os.ReadDir(building)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Rename(filepath.Join(building, e.Name()), filepath.Join(dataDir, e.Name())); err != nil {
			return err
		}
	}
	if err := syncDir(dataDir); err != nil {
		return err
	}
	if err := os.Remove(building); err != nil {
		return err
	}
	return syncDir(dataDir)
}

// beginRestore creates the directory for the restored files. It removes the files of an interrupted
// restore, which is safe because the data directory was empty before.
func beginRestore(dataDir, building string) error {
	if err := os.MkdirAll(dataDir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dataDir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		if err := restored(dataDir); err == nil {
			return fmt.Errorf("%s is not empty; nothing is ever restored over a data directory", dataDir)
		}
		for _, e := range entries {
			if e.Name() == restoringName {
				continue // moved last, since it identifies the other files
			}
			if err := os.RemoveAll(filepath.Join(dataDir, e.Name())); err != nil {
				return err
			}
		}
		if err := os.RemoveAll(building); err != nil {
			return err
		}
	}
	if err := os.Mkdir(building, 0o700); err != nil {
		return err
	}
	return errors.Join(syncDir(dataDir), syncDir(filepath.Dir(dataDir)))
}

// restored returns an error for a data directory with an unfinished restore.
func restored(dataDir string) error {
	_, err := os.Lstat(filepath.Join(dataDir, restoringName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = errors.New("its restore was interrupted; run auditrelay restore once more")
	}
	return fmt.Errorf("the data directory %s is not whole: %w", dataDir, err)
}
