package s3

import (
	"bytes"
	"fmt"
	"sync"
	"testing"

	"auditrelay/builtin/internal/objects"
)

func TestCompressionIsTheSameEveryTime(t *testing.T) {
	var content []byte
	for i := range 5000 {
		content = fmt.Appendf(content, `{"id":%d,"action":"updated"}`+"\n", i)
	}
	for compression, encoding := range encodings {
		var shared, fresh compressor
		want, err := fresh.compress(compression, content)
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for range 4 {
			wg.Go(func() {
				for range 5 {
					got, err := shared.compress(compression, content)
					if err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: other bytes, %v", compression, err)
					}
				}
			})
		}
		wg.Wait()
		back, name, err := decompress(encoding.header, want, int64(len(content)))
		if err != nil || name != compression || !bytes.Equal(back, content) {
			t.Errorf("%s came back as %d bytes of %s, %v", compression, len(back), name, err)
		}
		if compression != CompressionNone {
			if _, _, err := decompress(encoding.header, want, 1000); err == nil {
				t.Errorf("%s: more was decompressed than allowed", compression)
			}
		}
	}
}

// The longest permitted names still give a key that S3 accepts.
func TestKeysFit(t *testing.T) {
	long := func(n int) string { return string(bytes.Repeat([]byte("x"), n)) }
	s := &Sink{prefix: long(maxPrefixBytes) + "/"}
	for name, key := range map[string]string{
		"batch":    objects.BatchKey(s.base(long(500))+"dt=2026-03-15/hour=12/", long(500), []uint64{1 << 62}, long(64), ".ndjson.zst"),
		"litellm":  s.base(long(500)) + "audit_logs/2026-03-15/00-00-00_" + long(maxNameBytes) + ".json",
		"manifest": s.base(long(500)) + objects.ManifestFolder + "/" + objects.Segment(long(500)) + "/" + objects.Segment(long(500)) + "/" + long(20+1+12) + ".json",
	} {
		if len(key) > 1024 {
			t.Errorf("a key of %s has %d bytes", name, len(key))
		}
	}
}
