package pgstore_test

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/pgstore"
)

// TestAWipedKeyring: the server's files of the table no longer contain a replaced keyring, of
// any size.
func TestAWipedKeyring(t *testing.T) {
	server := pgtest.Start(t, safe...)
	for _, size := range []int{300, 5000, 100_000} { // the larger ones are stored beside the table
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			po := options(server)
			s, err := pgstore.Open(context.Background(), po)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			text := make([]byte, size)
			_, _ = rand.Read(text) // never fails
			key := hex.EncodeToString(text[size/2 : size/2+32])
			if err := s.SetKeyring(text, false); err != nil {
				t.Fatal(err)
			}
			db := server.Connect(t, "owner", "postgres")
			stored := func() (in int) {
				t.Helper()
				db.Exec("CHECKPOINT")
				table := "'" + po.Schema + ".keyring'::regclass"
				for _, file := range []string{table, "(SELECT reltoastrelid FROM pg_class WHERE oid = " + table + ")"} {
					if db.Exec(`SELECT position('\x` + key + `'::bytea IN pg_read_binary_file(pg_relation_filepath(` + file + `))) > 0`)[0] == "t" {
						in++
					}
				}
				return in
			}
			if n := stored(); n != 1 {
				t.Fatalf("the key is in %d files, the test cannot find it", n)
			}
			if err := s.SetKeyring(text[:size/2], true); err != nil {
				t.Fatal(err)
			}
			if n := stored(); n != 0 {
				t.Error("the key is still in the table's files")
			}
			// A session that reads the table is in the way: an erasure that is not complete
			// is an error.
			db.Exec("BEGIN; LOCK TABLE " + po.Schema + ".keyring IN ACCESS SHARE MODE")
			if err := s.SetKeyring(text[:size/3], true); err == nil || !strings.Contains(err.Error(), "another session") {
				t.Errorf("while the table is in use: %v", err)
			}
			db.Exec("ROLLBACK")
			if err := s.SetKeyring(text[:size/3], true); err != nil {
				t.Error(err)
			}
		})
	}
}
