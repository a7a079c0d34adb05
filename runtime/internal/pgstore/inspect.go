package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"auditrelay/runtime/internal/journal"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Warning describes a setting of a server that reduces safety, and how to fix it.
type Warning struct{ What, Do string }

// inspect rejects a server of an old version, and returns warnings for the operator.
func (s *Store) inspect(ctx context.Context, c *pgx.Conn) (all []Warning, err error) {
	var version int
	var full, checksums, standbys, sync string
	err = c.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('full_page_writes'), current_setting('data_checksums'),
		current_setting('synchronous_standby_names'), current_setting('synchronous_commit')`).Scan(&version, &full, &checksums, &standbys, &sync)
	if err != nil {
		return nil, explain(err)
	}
	if least := s.options.leastVersion; version < least {
		return nil, refused(fmt.Sprintf("the server has version %d.%d; %d or later is needed", version/10000, version%10000, least/10000))
	}
	warn := func(what, do string) { all = append(all, Warning{what, do}) }
	if strings.TrimSpace(standbys) == "" {
		warn("the server has no synchronous standby: what it acknowledges is lost along with its disk", "set synchronous_standby_names")
	} else if sync == "local" {
		warn("the server acknowledges before its synchronous standby has it (synchronous_commit = local)", "set synchronous_commit = on")
	}
	if full == "off" {
		warn("the server has full_page_writes = off: a crash can damage its files", "set it to on, unless the file system writes pages whole")
	}
	if checksums == "off" {
		warn("the server keeps no checksums of its pages: damage to the callbacks' state can go unseen", "pg_checksums --enable")
	}
	return all, nil
}

// Probe checks the server of o as Open would, and changes nothing. It checks settings, version,
// rights, and the format of the tables.
func Probe(ctx context.Context, o Options) ([]Warning, error) {
	o = o.withDefaults()
	s := &Store{options: o}
	if err := s.configure(); err != nil {
		return nil, fmt.Errorf("journal.postgres.url: %w", err)
	}
	warnings, err := s.probe(ctx)
	if err != nil {
		return nil, fmt.Errorf("journal on Postgres, %s: %w", s.place(), err)
	}
	return warnings, nil
}

func (s *Store) probe(ctx context.Context) ([]Warning, error) {
	conn, err := s.connect(ctx, "probe")
	if err != nil {
		return nil, explain(err)
	}
	defer closeConn(conn)
	warnings, err := s.inspect(ctx, conn)
	if err != nil {
		return nil, err
	}
	var there, may bool
	err = conn.QueryRow(ctx, `SELECT n.oid IS NOT NULL, CASE WHEN n.oid IS NULL THEN has_database_privilege(current_database(), 'CREATE')
		ELSE has_schema_privilege(n.oid, 'USAGE') AND has_schema_privilege(n.oid, 'CREATE') END
		FROM (SELECT 1) AS one LEFT JOIN pg_namespace AS n ON n.nspname = $1`, s.options.Schema).Scan(&there, &may)
	switch {
	case err != nil:
		return nil, explain(err)
	case !may && there:
		return nil, fmt.Errorf("this role may not use the schema %s: GRANT USAGE, CREATE ON SCHEMA %s TO this role", s.names.schema, s.names.schema)
	case !may:
		return nil, fmt.Errorf("this role may not make the schema %s; make it, with CREATE SCHEMA %s AUTHORIZATION this role, or grant CREATE on the database", s.names.schema, s.names.schema)
	}
	var format int
	err = conn.QueryRow(ctx, "SELECT format FROM "+s.names.journal).Scan(&format)
	if e, ok := errors.AsType[*pgconn.PgError](err); ok && e.Code == "42P01" {
		return warnings, nil // the journal does not exist yet
	}
	if err != nil {
		return nil, fmt.Errorf("read the table journal: %w", explain(err))
	}
	if format > len(migrations) {
		return nil, &journal.FormatError{Found: format, Expected: len(migrations)}
	}
	return warnings, nil
}
