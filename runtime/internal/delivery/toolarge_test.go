package delivery

import (
	"fmt"
	"testing"

	"auditrelay"
)

// sized is a sink that renders each record to n bytes, and several together to more.
type sized struct {
	auditrelay.Sink
	n, more int
	body    []byte // never read, so it takes no memory
}

func (s sized) Render(c auditrelay.Chunk) ([]auditrelay.Payload, error) {
	n := s.n * len(c.Records)
	if len(c.Records) > 1 {
		n += s.more
	}
	return []auditrelay.Payload{{Body: s.body[:n]}}, nil
}

// TestAChunkOfWhichTheSinkMakesTooMuch: the events that fit stay in the chunk.
func TestAChunkOfWhichTheSinkMakesTooMuch(t *testing.T) {
	chunk := auditrelay.Chunk{Records: []auditrelay.Record{{Sequence: 1}, {Sequence: 2}, {Sequence: 3}}}
	body := make([]byte, 1200<<20)
	for _, c := range []struct {
		n, more int
		want    string
	}{
		{400 << 20, 0, "[1 2 3]"}, // each is too large
		{150 << 20, 0, "[3]"},     // two fit
		{100 << 20, 100 << 20, "[3]"},
	} {
		var got []uint64
		for _, r := range tooLarge(sized{n: c.n, more: c.more, body: body}, chunk).Records {
			got = append(got, r.Sequence)
		}
		if fmt.Sprint(got) != c.want {
			t.Errorf("%d bytes each, %d more: %v, want %s", c.n, c.more, got, c.want)
		}
	}
}
