package otlp

import (
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// FuzzAnswer: any response of a receiver is read completely or refused.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte(`{"partialSuccess":{"rejectedLogRecords":"1"}}`))
	f.Add(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte{0x08, 0x02, 0x12, 0x01, 'x'}))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if rejected, ok := rejectedIn(answer); !ok && rejected != 0 {
			t.Errorf("%d of what is no answer", rejected)
		}
	})
}
