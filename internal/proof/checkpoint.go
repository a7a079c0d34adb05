package proof

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
)

// MaxCheckpointBytes limits the size of a signed checkpoint.
const MaxCheckpointBytes = 64 << 10

// Checkpoint is a tree's head.
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   Hash
}

// Logs of a journal.
const logAccepted = "accepted"

// Origin returns the origin of a journal's log: the log of accepted events if lane is empty,
// otherwise the log of what that lane delivered. No two incarnations share an origin, so a
// restored copy never signs anything that contradicts the original.
func Origin(journal, incarnation, lane string) string {
	log := logAccepted
	if lane != "" {
		log = "delivered/" + strings.ReplaceAll(url.PathEscape(lane), "+", "%2B")
	}
	return "auditrelay/" + journal + "/" + incarnation + "/" + log
}

// ParseOrigin is the inverse of Origin.
func ParseOrigin(origin string) (journal, incarnation, lane string, err error) {
	parts := strings.SplitN(origin, "/", 5)
	if len(parts) < 4 || parts[0] != "auditrelay" {
		return "", "", "", fmt.Errorf("%.200q is not the origin of a relay's log", origin)
	}
	journal, incarnation = parts[1], parts[2]
	switch {
	case len(parts) == 4 && parts[3] == logAccepted:
	case len(parts) == 5 && parts[3] == "delivered":
		if lane, err = url.PathUnescape(parts[4]); err == nil && Origin(journal, incarnation, lane) == origin {
			return journal, incarnation, lane, nil
		}
		fallthrough
	default:
		return "", "", "", fmt.Errorf("%.200q is not the origin of a relay's log", origin)
	}
	return journal, incarnation, "", nil
}

// Text returns the text of the checkpoint that is signed.
func (c Checkpoint) Text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + base64.StdEncoding.EncodeToString(c.Root[:]) + "\n"
}

// Sign returns the signed checkpoint.
func (c Checkpoint) Sign(signers ...note.Signer) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: c.Text()}, signers...)
	if err != nil {
		return nil, fmt.Errorf("sign the checkpoint of %s at %d: %w", c.Origin, c.Size, err)
	}
	return signed, nil
}

var errCheckpoint = errors.New("malformed checkpoint")

// ParseCheckpoint parses a checkpoint's text. It accepts only what Text makes.
func ParseCheckpoint(text string) (Checkpoint, error) {
	lines := strings.Split(text, "\n")
	if len(text) > MaxCheckpointBytes || len(lines) != 4 || lines[3] != "" {
		return Checkpoint{}, errCheckpoint
	}
	size, err := strconv.ParseUint(lines[1], 10, 64)
	if err != nil || size > math.MaxInt64 {
		return Checkpoint{}, errCheckpoint
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	c := Checkpoint{Origin: lines[0], Size: size}
	if err != nil || len(root) != len(c.Root) || lines[0] == "" {
		return Checkpoint{}, errCheckpoint
	}
	copy(c.Root[:], root)
	if c.Text() != text {
		return Checkpoint{}, errCheckpoint
	}
	return c, nil
}

// OpenCheckpoint parses a signed checkpoint and requires at least one signature of a known key.
// The error is note's *UnverifiedNoteError if there is none, and its *InvalidSignatureError if
// the signature of a known key is wrong.
func OpenCheckpoint(signed []byte, known note.Verifiers) (Checkpoint, error) {
	if len(signed) > MaxCheckpointBytes {
		return Checkpoint{}, errCheckpoint
	}
	n, err := note.Open(signed, known)
	if err != nil {
		return Checkpoint{}, err
	}
	for _, s := range append(n.Sigs, n.UnverifiedSigs...) {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return Checkpoint{}, errCheckpoint // bits that no signature covers
		}
	}
	return ParseCheckpoint(n.Text)
}
