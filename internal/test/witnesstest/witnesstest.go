// Package witnesstest is a witness according to c2sp.org/tlog-witness, for tests. It checks
// proofs with golang.org/x/mod, which shares no code with the relay's.
package witnesstest

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Time is the time of each cosignature, in Unix seconds.
const Time = 1769860800

// Witness is a running witness of one log key.
type Witness struct {
	URL string // its submission prefix
	Key string // its public key

	mu      sync.Mutex
	private ed25519.PrivateKey
	log     note.Verifier
	known   map[string]proof.Checkpoint
	asked   int
}

// Start starts a witness that accepts logs of a public key. It ends with the test.
func Start(t testing.TB, logKey string) *Witness {
	t.Helper()
	log, err := note.NewVerifier(logKey)
	if err != nil {
		t.Fatal(err)
	}
	w := &Witness{log: log, known: map[string]proof.Checkpoint{}}
	w.NewKey(t)
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	w.URL = server.URL + "/w/"
	return w
}

const name = "witness.example/w1"

// NewKey replaces the witness's key.
func (w *Witness) NewKey(t testing.TB) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.private = private
	raw := append([]byte{4}, public...)
	w.Key = fmt.Sprintf("%s+%08x+%s", name, binary.BigEndian.Uint32(w.id()), base64.StdEncoding.EncodeToString(raw))
}

func (w *Witness) id() []byte {
	public, _ := w.private.Public().(ed25519.PublicKey)
	sum := sha256.Sum256(append([]byte(name+"\n\x04"), public...))
	return sum[:4]
}

// Know sets what the witness last cosigned for a log.
func (w *Witness) Know(c proof.Checkpoint) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.known[c.Origin] = c
}

// Asked returns the number of requests since the last call.
func (w *Witness) Asked() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.asked
	w.asked = 0
	return n
}

func (w *Witness) ServeHTTP(answer http.ResponseWriter, r *http.Request) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked++
	body, _ := io.ReadAll(r.Body)
	head, signed, _ := bytes.Cut(body, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	old, err := strconv.ParseUint(strings.TrimPrefix(lines[0], "old "), 10, 63)
	if err != nil || r.URL.Path != "/w/add-checkpoint" {
		http.Error(answer, "bad", http.StatusBadRequest)
		return
	}
	var tree tlog.TreeProof
	for _, line := range lines[1:] {
		raw, err := base64.StdEncoding.DecodeString(line)
		if err != nil || len(raw) != len(tlog.Hash{}) {
			http.Error(answer, "bad", http.StatusBadRequest)
			return
		}
		tree = append(tree, tlog.Hash(raw))
	}
	c, err := proof.OpenCheckpoint(signed, note.VerifierList(w.log))
	if err != nil {
		http.Error(answer, "unknown key", http.StatusForbidden)
		return
	}
	switch has := w.known[c.Origin]; {
	case has.Size != old:
		answer.Header().Set("Content-Type", "text/x.tlog.size")
		answer.WriteHeader(http.StatusConflict)
		fmt.Fprintf(answer, "%d\n", has.Size)
		return
	case old == c.Size && has.Root != c.Root:
		http.Error(answer, "another root", http.StatusConflict)
		return
	case old > 0 && old < c.Size && tlog.CheckTree(tree, int64(c.Size), c.Root, int64(old), has.Root) != nil:
		http.Error(answer, "inconsistent", http.StatusUnprocessableEntity)
		return
	}
	w.known[c.Origin] = c
	line := append(w.id(), binary.BigEndian.AppendUint64(nil, Time)...)
	line = append(line, ed25519.Sign(w.private, fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", Time, c.Text()))...)
	fmt.Fprintf(answer, "— somebody.example/else %s\n", base64.StdEncoding.EncodeToString(make([]byte, len(line))))
	fmt.Fprintf(answer, "— %s %s\n", name, base64.StdEncoding.EncodeToString(line))
}
