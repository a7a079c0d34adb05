package pgstore_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/test/faultproxy"
	"auditrelay/internal/test/pgtest"
	"auditrelay/runtime/internal/journal"
	"auditrelay/runtime/internal/pgstore"
)

func open(t *testing.T, po pgstore.Options) *journal.Journal {
	t.Helper()
	j, err := place(po)(journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	return j
}

// add commits an event and a value of its own.
func add(j *journal.Journal, id string) (uint64, error) {
	tx := new(journal.Tx)
	tx.Append(auditrelay.Event{Namespace: "litellm", ID: id, Data: []byte(`{"id":"` + id + `"}`)})
	tx.Set(journal.MetaKey(id), []byte(id))
	out, err := j.Commit(tx)
	if err != nil {
		return 0, err
	}
	return out[0].Sequence, nil
}

// missing opens the journal anew and counts what is not there of what was acknowledged.
func missing(t *testing.T, po pgstore.Options, acknowledged map[uint64]string) (n int) {
	t.Helper()
	po.UnsafeNoFence = false
	j, err := place(po)(journal.Options{})
	if errors.Is(err, journal.ErrCorrupt) {
		return len(acknowledged)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for at, id := range acknowledged {
		e, err := j.Event(at)
		_, state, err2 := j.Get(journal.MetaKey(id))
		if err != nil || err2 != nil || e.ID != id || !state {
			n++
		}
	}
	return n
}

// TestLostAnswers breaks the connection at each place of a commit: it is made once.
func TestLostAnswers(t *testing.T) {
	server := pgtest.Start(t, safe...)
	proxy := faultproxy.StartStream(t, "unix", server.Socket())
	po := options(server)
	host, port, err := net.SplitHostPort(proxy.Addr)
	if err != nil {
		t.Fatal(err)
	}
	po.URL = auditrelay.Secret(fmt.Sprintf("host=%s port=%s user=owner dbname=postgres sslmode=disable", host, port))
	po.Attempt = 2 * time.Second
	j := open(t, po)
	acknowledged := map[uint64]string{}
	commit := func(id string) {
		t.Helper()
		at, err := add(j, id)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if at != uint64(len(acknowledged)+1) {
			t.Errorf("%s has sequence %d", id, at)
		}
		acknowledged[at] = id
	}
	commit("first")
	for i, cuts := range [][]faultproxy.Cut{
		{faultproxy.CutRequest}, {faultproxy.CutHalf}, {faultproxy.CutAnswer}, {faultproxy.HangAnswer},
		{faultproxy.CutRequest, faultproxy.CutHalf, faultproxy.CutRequest, faultproxy.CutAnswer},
	} {
		id := fmt.Sprint("cut-", i)
		proxy.Script(id, cuts...)
		before := proxy.Made()
		commit(id)
		if made := proxy.Made() - before; made != len(cuts) {
			t.Errorf("%v: %d cuts were made", cuts, made)
		}
		commit(fmt.Sprint("after-", i))
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if n := missing(t, po, acknowledged); n > 0 {
		t.Errorf("%d acknowledged events are lost", n)
	}
}

// takeover has a second relay take the journal over while the first stands still, and
// then lets the first go on. It returns how many acknowledged events are lost, and what
// the first one's commit said.
func takeover(t *testing.T, server *pgtest.Server, po pgstore.Options) (lost int, err error) {
	acknowledged := map[uint64]string{}
	commit := func(j *journal.Journal, id string) {
		t.Helper()
		at, err := add(j, id)
		if err != nil {
			t.Fatal(err)
		}
		acknowledged[at] = id
	}
	po.Lock = time.Hour // it shows no life
	first := open(t, po)
	commit(first, "a")
	// What the server does to a session that is idle for too long.
	server.Connect(t, "owner", "postgres").Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'auditrelay lock " + po.Schema + "'")
	other := po
	other.LockWait = 5 * time.Second
	second := open(t, other)
	commit(second, "b")
	commit(second, "c")
	tx := new(journal.Tx)
	tx.Set(journal.MetaKey("late"), []byte("of the first"))
	_, err = first.Commit(tx)
	_ = second.Close()
	_ = first.Close()
	return missing(t, po, acknowledged), err
}

func TestARelayThatLostTheJournalCommitsNothing(t *testing.T) {
	server := pgtest.Start(t, safe...)
	lost, err := takeover(t, server, options(server))
	if !errors.Is(err, journal.ErrFailed) || !errors.Is(err, pgstore.ErrFenced) {
		t.Errorf("the commit of a relay that lost the journal: %v", err)
	}
	if lost > 0 {
		t.Errorf("%d acknowledged events are lost", lost)
	}
	// This test notices when the fence is taken out.
	unfenced := options(server)
	unfenced.UnsafeNoFence = true
	if lost, err = takeover(t, server, unfenced); err != nil || lost == 0 {
		t.Errorf("without the fence: %v, and %d acknowledged events are lost: nothing is tested", err, lost)
	}
}

// crash stops the server at once while events are committed, and starts it again.
func crash(t *testing.T, po pgstore.Options, server *pgtest.Server) (acknowledged map[uint64]string) {
	t.Helper()
	j := open(t, po)
	acknowledged = map[uint64]string{}
	stopped := make(chan struct{})
	var n atomic.Int64
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			at, err := add(j, fmt.Sprint(i))
			if err != nil {
				return
			}
			acknowledged[at] = fmt.Sprint(i)
			n.Add(1)
		}
	}()
	// more waits until the store commits again.
	more := func() {
		t.Helper()
		until := time.Now().Add(30 * time.Second)
		for want := n.Load() + 20; n.Load() < want; time.Sleep(time.Millisecond) {
			select {
			case <-stopped:
				return // what is left is compared all the same
			default:
			}
			if time.Now().After(until) {
				t.Fatalf("%d were acknowledged, and no more", n.Load())
			}
		}
	}
	for range 3 {
		more()
		server.Stop(t, "immediate")
		server.Restart(t)
	}
	more()
	_ = j.Close()
	<-stopped
	return acknowledged
}

func TestServerCrashes(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	acknowledged := crash(t, po, server)
	if n := missing(t, po, acknowledged); n > 0 {
		t.Errorf("%d of %d acknowledged events are lost", n, len(acknowledged))
	}
	t.Logf("%d acknowledged over three crashes", len(acknowledged))
}

// TestWithoutSyncItReportsLoss shows that TestServerCrashes notices a server that does
// not keep what it acknowledges.
func TestWithoutSyncItReportsLoss(t *testing.T) {
	server := pgtest.Start(t, append(safe, "wal_writer_delay = 10s", "wal_writer_flush_after = 0", "commit_delay = 0")...)
	po := options(server)
	po.UnsafeNoSync = true
	acknowledged := crash(t, po, server)
	if n := missing(t, po, acknowledged); n == 0 {
		t.Errorf("with synchronous_commit off none of %d is lost: nothing is tested", len(acknowledged))
	} else {
		t.Logf("with synchronous_commit off %d of %d are lost", n, len(acknowledged))
	}
}

// TestServerIsGone: while the server is away the store says so, and then that it failed.
func TestServerIsGone(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	po.Wait = 2 * time.Second
	j := open(t, po)
	server.Stop(t, "fast")
	done := make(chan error)
	go func() {
		_, err := add(j, "a")
		done <- err
	}()
	said := ""
	for {
		select {
		case err := <-done:
			if !errors.Is(err, journal.ErrFailed) || strings.Contains(err.Error(), "corrupt") {
				t.Errorf("commit: %v", err)
			}
			if !strings.Contains(said, "takes no commit") {
				t.Errorf("meanwhile it said %q", said)
			}
			server.Restart(t)
			return
		case <-time.After(50 * time.Millisecond):
			if err := j.Err(); err != nil && !errors.Is(err, journal.ErrFailed) {
				said = err.Error()
			}
		}
	}
}

func TestPartitionsAreDropped(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po := options(server)
	po.PartBytes = 1 // one for each commit
	j := open(t, po)
	for i := range 12 {
		if _, err := add(j, fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
	}
	db := server.Connect(t, "owner", "postgres")
	partitions := func() string {
		return strings.Join(db.Exec("SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'frames_%' AND relnamespace = '"+po.Schema+"'::regnamespace ORDER BY oid"), " ")
	}
	before := partitions()
	if n := len(strings.Fields(before)); n != 12 {
		t.Fatalf("partitions: %s", before)
	}
	for _, to := range []uint64{5, 9} {
		if err := j.Trim(to); err != nil {
			t.Fatal(err)
		}
	}
	// Those below the trim before the last one.
	if got := partitions(); got != "frames_5 frames_6 frames_7 frames_8 frames_9 frames_10 frames_11 frames_12" {
		t.Errorf("after a trim: %s", got)
	}
	if deleted := db.Exec("SELECT sum(n_tup_del) FROM pg_stat_all_tables WHERE schemaname = '" + po.Schema + "' AND relname LIKE 'frames%'")[0]; deleted != "0" {
		t.Errorf("%s rows of frames were deleted", deleted)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = open(t, po)
	for i := uint64(9); i <= 12; i++ {
		if e, err := j.Event(i); err != nil || e.ID != fmt.Sprint(i-1) {
			t.Errorf("event %d: %v %v", i, e.ID, err)
		}
	}
	if err := j.Trim(13); err != nil {
		t.Fatal(err)
	}
	if at, err := add(j, "new"); at != 13 || err != nil {
		t.Errorf("after all is trimmed: %d %v", at, err)
	}
}

// TestAPromotedStandbyThatLacksCommits: the anchor notices at the next start.
func TestAPromotedStandbyThatLacksCommits(t *testing.T) {
	server := pgtest.Start(t, safe...)
	po, dir := options(server), t.TempDir()
	start := func() (*journal.Journal, error) {
		s, err := pgstore.Open(context.Background(), po)
		if err != nil {
			return nil, err
		}
		return journal.OpenShared(s, dir, journal.Options{})
	}
	run := func(ids ...string) {
		t.Helper()
		j, err := start()
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range ids {
			if _, err := add(j, id); err != nil {
				t.Fatal(err)
			}
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	}
	run("a", "b")
	server.Stop(t, "fast")
	server.Copy(t)
	server.Restart(t)
	run("c")
	server.Stop(t, "fast")
	server.Swap(t)
	server.Restart(t)
	if j, err := start(); !errors.Is(err, journal.ErrCorrupt) {
		t.Errorf("open: %v", err)
		if err == nil {
			j.Close()
		}
	} else {
		t.Log(err)
	}
}

// TestTheNextOwnerEndsSessions of the former one, whatever the schema's name is.
func TestTheNextOwnerEndsSessions(t *testing.T) {
	server := pgtest.Start(t, safe...)
	db := server.Connect(t, "owner", "postgres")
	for _, schema := range []string{"plain", "schéma ünïcode", "O'Brien \"%s\""} {
		t.Run(schema, func(t *testing.T) {
			po := options(server)
			po.Schema, po.LockWait = schema, 5*time.Second
			former := open(t, po)
			if _, err := add(former, "e1"); err != nil {
				t.Fatal(err)
			}
			sessions := "SELECT pid FROM pg_stat_activity WHERE application_name LIKE 'auditrelay journal %'"
			before := strings.Join(db.Exec(sessions), ",")
			if before == "" {
				t.Fatal("the former owner has no session")
			}
			db.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'auditrelay lock %'")
			open(t, po)
			eventually(t, "its sessions end", func() bool { return len(db.Exec(sessions+" AND pid IN ("+before+")")) == 0 })
		})
	}
}
