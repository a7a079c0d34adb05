// Package witness asks a witness (c2sp.org/tlog-witness) to cosign checkpoints, and checks
// cosignatures (c2sp.org/tlog-cosignature). A witness cosigns a log only if the log contains
// everything it cosigned before. A checkpoint with its cosignature is therefore the same for
// every reader.
package witness

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/note"
)

// cosignature is the type of a cosigning key, version 1.
const cosignature = 4

// Limits of an answer.
const (
	maxAnswer = 64 << 10
	maxProof  = 63 // lines of a consistency proof
)

// verifier checks the cosignatures of one key.
type verifier struct {
	name string
	hash uint32
	key  ed25519.PublicKey
}

// NewVerifier reads the public key of a witness: NAME+HASH+BASE64, of type 4.
func NewVerifier(text string) (note.Verifier, error) {
	wrong := fmt.Errorf("the key %.80q is not a witness's public key: expected NAME+HASH+BASE64 with a key of type 4", text)
	parts := strings.SplitN(strings.TrimSpace(text), "+", 3)
	if len(parts) != 3 || parts[0] == "" || strings.ContainsAny(parts[0], " \t\n") {
		return nil, wrong
	}
	hash, err := strconv.ParseUint(parts[1], 16, 32)
	if err != nil || len(parts[1]) != 8 {
		return nil, wrong
	}
	raw, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(raw) != 1+ed25519.PublicKeySize || raw[0] != cosignature {
		return nil, wrong
	}
	sum := sha256.Sum256(append([]byte(parts[0]+"\n"), raw...))
	if binary.BigEndian.Uint32(sum[:]) != uint32(hash) {
		return nil, wrong
	}
	return &verifier{parts[0], uint32(hash), ed25519.PublicKey(raw[1:])}, nil
}

func (v *verifier) Name() string { return v.name }

func (v *verifier) KeyHash() uint32 { return v.hash }

// Verify checks a signature: 8 bytes of time, then Ed25519 over the time and the text.
func (v *verifier) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	at := binary.BigEndian.Uint64(signature)
	return ed25519.Verify(v.key, Message(at, text), signature[8:])
}

// Message returns the bytes that a witness signs for a checkpoint's text at a time in Unix
// seconds.
func Message(at uint64, text []byte) []byte {
	return append(fmt.Appendf(nil, "cosignature/v1\ntime %d\n", at), text...)
}

// Time returns the time of a key's cosignature on a signed checkpoint, and whether there is a
// valid one.
func Time(signed []byte, key note.Verifier) (time.Time, bool) {
	n, err := note.Open(signed, note.VerifierList(key))
	if err != nil || len(n.Sigs) == 0 {
		return time.Time{}, false
	}
	raw, err := base64.StdEncoding.DecodeString(n.Sigs[0].Base64)
	if err != nil || len(raw) < 12 {
		return time.Time{}, false
	}
	return time.Unix(int64(binary.BigEndian.Uint64(raw[4:])), 0).UTC(), true
}

// Witness is one witness.
type Witness struct {
	// URL is the submission prefix. Key checks its cosignatures.
	URL string
	Key note.Verifier
	// Client sends requests. The default times out after 30 s and follows no redirect.
	Client *http.Client
}

// Log is a log whose checkpoint needs a cosignature.
type Log struct {
	Signed []byte // the checkpoint, signed by the log
	Size   uint64
	// Known is the size that the witness probably cosigned last. 0 means unknown.
	Known uint64
	// Consistency proves that the log at Size contains the log at an earlier size, which must
	// be above 0.
	Consistency func(from uint64) ([]proof.Hash, error)
}

// ErrAhead means that the witness knows a larger log than this one: the log was cut or
// replaced, or this copy is old.
var ErrAhead = errors.New("the witness cosigned a larger log than this one")

// Cosign returns the checkpoint with the witness's cosignature added. If the witness cosigned
// another size than Log.Known, Cosign retries once from that size.
func (w *Witness) Cosign(ctx context.Context, l Log) ([]byte, error) {
	lines, has, err := w.add(ctx, l, l.Known)
	if err == nil && lines == nil && has != l.Known {
		if has > l.Size {
			return nil, fmt.Errorf("witness %s: %w: it has seen %d leaves, this log has %d", w.Key.Name(), ErrAhead, has, l.Size)
		}
		lines, _, err = w.add(ctx, l, has)
	}
	if err == nil && lines == nil {
		err = errors.New("it has seen this log with another root at this size: the log was replaced")
	}
	var cosigned []byte
	if err == nil {
		cosigned, err = w.join(l.Signed, lines)
	}
	if err != nil {
		return nil, fmt.Errorf("witness %s: %w", w.Key.Name(), err)
	}
	return cosigned, nil
}

// add asks for a cosignature. If it returns no lines, the last size that the witness cosigned
// is has.
func (w *Witness) add(ctx context.Context, l Log, from uint64) (lines []byte, has uint64, err error) {
	body := fmt.Appendf(nil, "old %d\n", from)
	if from > 0 && from < l.Size {
		hashes, err := l.Consistency(from)
		if err != nil {
			return nil, 0, err
		}
		if len(hashes) > maxProof {
			return nil, 0, fmt.Errorf("the consistency proof has %d hashes", len(hashes))
		}
		for _, h := range hashes {
			body = append(append(body, base64.StdEncoding.EncodeToString(h[:])...), '\n')
		}
	}
	body = append(append(body, '\n'), l.Signed...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(w.URL, "/")+"/add-checkpoint", bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	resp, err := cmp.Or(w.Client, defaultClient).Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, 0, err
	}
	switch {
	case len(answer) > maxAnswer:
		return nil, 0, fmt.Errorf("its answer is over %d bytes", maxAnswer)
	case resp.StatusCode == http.StatusOK && len(answer) > 0:
		return answer, from, nil
	case resp.StatusCode == http.StatusConflict && resp.Header.Get("Content-Type") == "text/x.tlog.size":
		has, err := strconv.ParseUint(strings.TrimSuffix(string(answer), "\n"), 10, 63)
		if err != nil {
			return nil, 0, errors.New("its answer contains no size")
		}
		return nil, has, nil
	}
	return nil, 0, fmt.Errorf("it answered %d %s%s", resp.StatusCode, http.StatusText(resp.StatusCode), meaning(resp.StatusCode))
}

// meaning returns the protocol's meaning of a status.
func meaning(status int) string {
	switch status {
	case http.StatusNotFound:
		return ": the log's origin is unknown to it"
	case http.StatusForbidden:
		return ": the key that signed the checkpoint is unknown to it"
	case http.StatusUnprocessableEntity:
		return ": the log does not contain what it cosigned before"
	case http.StatusConflict:
		return ": it has seen this log with another root"
	}
	return ""
}

var defaultClient = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// join adds the valid lines of the witness to a signed checkpoint.
func (w *Witness) join(signed, lines []byte) ([]byte, error) {
	all := append(bytes.Clone(signed), lines...)
	n, err := note.Open(all, note.VerifierList(w.Key))
	if err != nil {
		return nil, fmt.Errorf("its answer contains no valid cosignature: %w", err)
	}
	own := fmt.Sprintf("— %s %s\n", n.Sigs[0].Name, n.Sigs[0].Base64)
	if bytes.HasSuffix(signed, []byte(own)) {
		return signed, nil
	}
	return append(bytes.Clone(signed), own...), nil
}
