package s3

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"auditrelay"
)

// Folders of the sink's own under the prefix.
const (
	manifestFolder = "_manifests"
	proofFolder    = "_proofs"
	probeFolder    = "_auditrelay"
	replayFolder   = "replay="
)

// maxNameBytes bounds the part of a file name that comes from an event's id, so
// that the whole name stays under the 255 bytes that gateways on a file system
// allow.
const maxNameBytes = 192

// maxSegmentBytes bounds a callback's, journal's or replay's name in a key, so
// that prefix and three of them fit in S3's 1024 bytes.
const maxSegmentBytes = 96

// base is the folder under which everything of one chunk goes: the prefix, and
// for a replay a folder of its own.
func (s *Sink) base(replay string) string {
	base := s.prefix
	if replay != "" {
		base += replayFolder + segment(replay) + "/"
	}
	return base
}

// batchKey names an object of layout batch. The range is that of the payload's
// own records, so that no two payloads of a chunk, or halves of a payload, can
// have equal keys even where their content is equal. Numbers are padded so that
// a listing is in the journal's order.
func batchKey(dir, journal string, sequences []uint64, digest, extension string) string {
	return fmt.Sprintf("%s%s-%012d-%012d-%s%s", dir, segment(journal),
		sequences[0], sequences[len(sequences)-1]+1, digest[:12], extension)
}

// hourFolder is the partition of layout batch.
func hourFolder(t time.Time) string {
	return t.UTC().Format("dt=2006-01-02/hour=15/")
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
		return fmt.Sprintf("tombstone!%s-%d", segment(journal), r.Sequence)
	}
	name := replaceUnsafe(r.ID)
	foreign := r.Namespace != "" && r.Namespace != auditrelay.NamespaceLiteLLM
	if name == r.ID && len(name) <= maxNameBytes && !strings.Contains(name, "!") && !foreign {
		return name
	}
	sum := sha256.Sum256([]byte(r.Namespace + "\x00" + r.ID))
	const digest = 16
	return cut(name, maxNameBytes-1-digest) + "!" + hex.EncodeToString(sum[:digest/2])
}

// segment makes a name that the operator or the relay chose one path segment.
func segment(s string) string {
	name := replaceUnsafe(s)
	if name == s && len(name) <= maxSegmentBytes && name != "" && name != "." && name != ".." {
		return name
	}
	sum := sha256.Sum256([]byte(s))
	return cut(name, 64) + "!" + hex.EncodeToString(sum[:8])
}

// replaceUnsafe puts "_" for what would start a folder or harm a listing.
func replaceUnsafe(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '/' || r == ':' || r == '\\' || r == utf8.RuneError || unicode.IsControl(r) || r == '\uFFFE' || r == '\uFFFF' {
			return '_'
		}
		return r
	}, s)
}

// cut shortens s to at most n bytes of whole characters.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
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
