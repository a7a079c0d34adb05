package verify

import (
	"testing"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/tlog"
)

// x/mod accepts the proofs of consistency for every pair of sizes.
func TestConsistency(t *testing.T) {
	var leaves []proof.Hash
	for i := range 70 {
		leaves = append(leaves, proof.LeafHash([]byte{byte(i)}))
	}
	for n := 1; n <= len(leaves); n++ {
		l := &Log{leaves: leaves[:n]}
		for from := 1; from <= n; from++ {
			p, err := l.Consistency(uint64(from))
			if err != nil {
				t.Fatal(err)
			}
			if err := tlog.CheckTree(p, int64(n), rootOf(leaves[:n]), int64(from), rootOf(leaves[:from])); err != nil {
				t.Errorf("%d in %d: %v", from, n, err)
			}
		}
		for _, from := range []uint64{0, uint64(n) + 1} {
			if _, err := l.Consistency(from); err == nil {
				t.Errorf("%d in %d is proved", from, n)
			}
		}
	}
}
