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

// maxNameBytes limits the part of a file name that comes from an event's id, so that the whole
// name stays below the 255 bytes that gateways on a file system allow.
const maxNameBytes = 192

// base returns the folder for everything of one chunk: the prefix, and for a replay a separate
// folder.
func (s *Sink) base(replay string) string {
	base := s.prefix
	if replay != "" {
		base += objects.ReplayFolder + objects.Segment(replay) + "/"
	}
	return base
}

// liteLLMKey returns the key of an object of layout litellm below its base.
func liteLLMKey(t time.Time, partition, name string) string {
	layout := "2006-01-02/15-04-05_"
	if partition == PartitionHour {
		layout = "2006-01-02/15/15-04-05_"
	}
	return "audit_logs/" + t.UTC().Format(layout) + name + ".json"
}

// recordName returns the form of a record's id in a file name. An id of LiteLLM's (a UUID)
// stays unchanged. An id that must be changed or cut gets a digest after a "!", and so does an
// id with a "!". So different ids never share a name, and no id can have the name of another id
// or of a tombstone. An id that filters changed does not appear: the name has journal and sequence.
func recordName(journal string, r auditrelay.Record) string {
	switch {
	case r.Tombstone || r.ID == "":
		return fmt.Sprintf("tombstone!%s-%d", objects.Segment(journal), r.Sequence)
	case r.IDChanged:
		return fmt.Sprintf("event!%s-%d", objects.Segment(journal), r.Sequence)
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

// disposition sets the file name under which a browser saves an object.
func disposition(name string) string {
	plain := strings.Map(func(r rune) rune {
		if r > unicode.MaxASCII || strings.ContainsRune(`"\%;`, r) {
			return '_'
		}
		return r
	}, name)
	return `inline; filename="audit-` + plain + `.json"`
}
