package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"

	"auditrelay"
	"auditrelay/builtin/internal/objects"
)

// maxNameBytes bounds the part of a file name that comes from an event's id, so
// that the whole name stays under the 255 bytes that gateways on a file system
// allow.
const maxNameBytes = 192

// base is the folder under which everything of one chunk goes: the prefix, and
// for a replay a folder of its own.
func (s *Sink) base(replay string) string {
	base := s.prefix
	if replay != "" {
		base += objects.ReplayFolder + objects.Segment(replay) + "/"
	}
	return base
}

// liteLLMKey names an object of layout litellm below its base.
func liteLLMKey(t time.Time, partition, name string) string {
	layout := "2006-01-02/15-04-05_"
	if partition == PartitionHour {
		layout = "2006-01-02/15/15-04-05_"
	}
	return "audit_logs/" + t.UTC().Format(layout) + name + ".json"
}

// recordName is what stands for a record's id in a file name. An id of LiteLLM's
// (a UUID) is its own name. One that has to be changed or cut gets a digest
// after a "!", and so does one that holds a "!" itself: different ids never
// share a name, and no id can take the name of another's or of a tombstone.
func recordName(journal string, r auditrelay.Record) string {
	if r.Tombstone || r.ID == "" {
		return fmt.Sprintf("tombstone!%s-%d", objects.Segment(journal), r.Sequence)
	}
	name := objects.ReplaceUnsafe(r.ID)
	foreign := r.Namespace != "" && r.Namespace != auditrelay.NamespaceLiteLLM
	if name == r.ID && len(name) <= maxNameBytes && !strings.Contains(name, "!") && !foreign {
		return name
	}
	sum := sha256.Sum256([]byte(r.Namespace + "\x00" + r.ID))
	const digest = 16
	return objects.Cut(name, maxNameBytes-1-digest) + "!" + hex.EncodeToString(sum[:digest/2])
}

// disposition names the file that a browser saves an object as.
func disposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || strings.ContainsRune(`"\%;`, r) {
			return '_'
		}
		return r
	}, name)
	return `inline; filename="audit-` + plain + `.json"`
}
