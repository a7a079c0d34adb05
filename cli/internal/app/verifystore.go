package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"auditrelay"
	"auditrelay/builtin/postgres"
	"auditrelay/builtin/sqlite"
	"auditrelay/config"
	"auditrelay/internal/auditstore"
	"auditrelay/internal/proof"
	"auditrelay/internal/verify"
)

// IsStore reports whether a place is a store: the file of a SQLite database, or the URL of a
// Postgres database.
func IsStore(place string) bool {
	return strings.HasPrefix(place, "postgres://") || strings.HasPrefix(place, "postgresql://") || sqlite.IsDatabase(place)
}

// VerifyStoreAt verifies the store at a place for which IsStore is true. It changes nothing.
func VerifyStoreAt(ctx context.Context, place string, o verify.Options) (*verify.Report, error) {
	s := store{view: func(ctx context.Context) (*auditstore.Store, error) { return sqlite.View(ctx, place) }}
	if !sqlite.IsDatabase(place) {
		s.view = func(ctx context.Context) (*auditstore.Store, error) {
			return postgres.View(ctx, postgres.Options{URL: auditrelay.Secret(place)})
		}
	}
	return s.verify(ctx, o)
}

// VerifyStores verifies each store of a configuration, and calls each with the result. Without
// keys it uses the configuration's key, or the data directory's, and their previous keys.
func VerifyStores(ctx context.Context, files []string, sinks map[string]SinkMaker, o verify.Options, each func(callback string, r *verify.Report) error) error {
	makers, err := sinkMakers(sinks)
	if err != nil {
		return err
	}
	a := &assembler{file: files[0], makers: makers, log: slog.New(slog.DiscardHandler)}
	cfg, err := a.loadConfig(files[0], files[1:]...)
	if err != nil {
		return err
	}
	if len(o.Keys) == 0 {
		if o.Keys, err = publicKeys(cfg); err != nil {
			return err
		}
		o.Former = true
	}
	found := false
	for i := range cfg.Callbacks {
		s, err := a.storeOf(cfg, &cfg.Callbacks[i])
		if err != nil {
			return err
		}
		if s == nil {
			continue
		}
		found = true
		report, err := s.verify(ctx, o)
		if err == nil {
			err = each(s.callback, report)
		}
		if err != nil {
			return fmt.Errorf("verify the store of callback %s: %w", s.callback, err)
		}
	}
	if !found {
		return errors.New("no callback's sink is a store (sqlite, postgres)")
	}
	return nil
}

// publicKeys returns the public keys of the configuration's signing keys, or of the data
// directory's.
func publicKeys(cfg *config.Config) (public []string, err error) {
	signing := []string{string(cfg.Proofs.PreviousKey), string(cfg.Proofs.Key)}
	signer, err := cfg.Proofs.KMS.Signer()
	if err != nil {
		return nil, fmt.Errorf("proofs.kms: %w", err)
	}
	if signer != nil {
		public = append(public, signer.PublicKey())
	} else if cfg.Proofs.Key == "" {
		name := dataDir(cfg.DataDir).file(proofKeyFile)
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is no signing key, neither proofs.key nor %s: give the public key with --key", name)
		}
		if err != nil {
			return nil, fmt.Errorf("the signing key of proofs: %w", err)
		}
		signing = []string{string(text)}
	}
	for _, key := range signing {
		if key == "" {
			continue
		}
		one, err := proof.PublicKey(key)
		if err != nil {
			return nil, err
		}
		public = append(public, one)
	}
	return public, nil
}

func (s *store) verify(ctx context.Context, o verify.Options) (report *verify.Report, err error) {
	opened, err := s.view(ctx)
	if err != nil {
		if sqlite.Damaged(err) {
			report = &verify.Report{Outcomes: map[string]uint64{}}
			report.Fault(verify.Fault{Category: verify.Unreadable, Object: "store", What: err.Error()})
			return report, nil
		}
		return nil, err
	}
	defer func() { err = errors.Join(err, opened.Close()) }()
	return verify.Store(storeRows{ctx, opened}, o)
}

// storeRows is a store in the form that verify reads.
type storeRows struct {
	ctx   context.Context
	store *auditstore.Store
}

func (s storeRows) Bundles(fn func(name string, bundle []byte) error) error {
	return s.store.Bundles(s.ctx, fn)
}

func (s storeRows) Check() ([]string, error) { return s.store.Check(s.ctx) }

func (s storeRows) Rows(fn func(verify.Row) error) error {
	return s.store.Each(s.ctx, func(r *auditstore.Row) error {
		return fn(verify.Row{Position: r.Position, Journal: r.Journal, Sequence: r.Sequence, Data: r.Data, Tombstone: r.Tombstone, Damaged: r.Integrity == auditstore.Damaged})
	})
}
