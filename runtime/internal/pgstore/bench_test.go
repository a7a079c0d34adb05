package pgstore_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/corpus"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/journal"
)

// BenchmarkAccept has 32 producers commit 4 events at a time: to the embedded journal, and
// to Postgres on the same disk.
func BenchmarkAccept(b *testing.B) {
	corpus := corpus.New(1)
	var data [1000][]byte
	for i := range data {
		data[i] = corpus.Next().Data
	}
	server := pgtest.Start(b, safe...)
	for _, test := range []struct {
		name string
		open func() (*journal.Journal, error)
	}{
		{"embedded", func() (*journal.Journal, error) { return journal.Open(b.TempDir(), journal.Options{}) }},
		{"postgres", func() (*journal.Journal, error) { return place(options(server))(journal.Options{}) }},
	} {
		b.Run(test.name, func(b *testing.B) {
			j, err := test.open()
			if err != nil {
				b.Fatal(err)
			}
			defer j.Close()
			var n atomic.Int64
			const producers, each = 32, 4
			before, server0, relay0 := written(b, server), server.CPU(b), cpu()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range producers {
				wg.Go(func() {
					for {
						at := n.Add(each)
						if at > int64(b.N) {
							return
						}
						tx := new(journal.Tx)
						for i := range int64(each) {
							tx.Append(auditrelay.Event{Namespace: "b", ID: fmt.Sprint(at - i), Data: data[(at+i)%int64(len(data))]})
						}
						if _, err := j.Commit(tx); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
			b.ReportMetric(float64((cpu()-relay0).Microseconds())/float64(b.N), "relay-cpu-us/event")
			if after := written(b, server); test.name == "postgres" {
				b.ReportMetric(float64((server.CPU(b)-server0).Microseconds())/float64(b.N), "server-cpu-us/event")
				for i, unit := range []string{"commits/s", "log-B/event", "disk-B/event"} {
					per := float64(b.N)
					if i == 0 {
						per = b.Elapsed().Seconds()
					}
					b.ReportMetric((after[i]-before[i])/per, unit)
				}
			}
		})
	}
}

// cpu is how much processor time this process has taken.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// written is how many transactions a server has made, and how many bytes it has written to
// its log and holds in its database.
func written(b *testing.B, server *pgtest.Server) (all [3]float64) {
	db := server.Connect(b, "owner", "postgres")
	defer db.Close()
	for i, what := range []string{"pg_stat_get_db_xact_commit(oid)", "pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')", "pg_database_size(oid)"} {
		row := db.Exec("SELECT pg_stat_clear_snapshot(), " + what + " FROM pg_database WHERE datname = current_database()")[0]
		if _, err := fmt.Sscanf(strings.TrimLeft(row, "|"), "%g", &all[i]); err != nil {
			b.Fatal(err)
		}
	}
	return all
}
