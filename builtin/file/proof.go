package file

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"auditrelay"
)

// RenderProof returns a bundle of proofs as one file.
func (s *Sink) RenderProof(p auditrelay.Proof) (auditrelay.Payload, error) {
	digest := hexSHA256(p.Bundle)
	name := fmt.Sprintf("%s-%012d-%s.tar", p.Journal, p.Size, digest[:12])
	if p.Replay != "" {
		name = "replay=" + p.Replay + "-" + name
	}
	return auditrelay.Payload{
		Key:     p.Callback + "-" + strings.ReplaceAll(name, string(filepath.Separator), "_"),
		Body:    p.Bundle,
		Headers: map[string]string{kind: kindProof},
		Digest:  digest,
	}, nil
}

// deliverProof writes a bundle as a whole or not at all.
func (s *Sink) deliverProof(p auditrelay.Payload) (receipt auditrelay.Receipt, err error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return receipt, err
	}
	receipt.Location = filepath.Join(s.dir, p.Key)
	if there, err := os.ReadFile(receipt.Location); err == nil && bytes.Equal(there, p.Body) {
		receipt.Duplicate = true
		return receipt, nil
	}
	f, err := openOwn(receipt.Location+".new", os.O_CREATE|os.O_WRONLY|os.O_TRUNC)
	if err != nil {
		return receipt, err
	}
	_, err = f.Write(p.Body)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return receipt, err
	}
	if err := os.Rename(receipt.Location+".new", receipt.Location); err != nil {
		return receipt, err
	}
	return receipt, errors.Join(syncDir(s.dir), syncDir(filepath.Dir(s.dir)))
}
