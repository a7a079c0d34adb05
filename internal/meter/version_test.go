package meter

import (
	"crypto/sha256"
	"fmt"
	"testing"
)

// The digest of Rewrite's output for generated modules when Version last changed. Caches rely
// on it: if you change what is rewritten or refused, raise Version, and then put the digest
// printed by this test here.
const rewrittenByVersion = "6 8936d1e1a85307fa"

func TestVersionChangesWithWhatIsRewritten(t *testing.T) {
	sum := sha256.New()
	for seed := range uint64(300) {
		m, err := Rewrite(newGenerator(seed).module(), Options{})
		if err != nil {
			fmt.Fprintf(sum, "%d %v\n", seed, err)
			continue
		}
		fmt.Fprintf(sum, "%d %x %+v\n", seed, m.Wasm, m.Facts)
	}
	if got := fmt.Sprintf("%s %x", Version, sum.Sum(nil)[:8]); got != rewrittenByVersion {
		t.Errorf("got %q, want %q: has Version changed with what is rewritten?", got, rewrittenByVersion)
	}
}
