package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"

	"auditrelay"
	"auditrelay/internal/keyform"
	"auditrelay/internal/redaction"
)

type decryptCommand struct {
	File    string `arg:"" help:"Text with encrypted values, such as NDJSON; - for standard input. At most 1 GiB."`
	KeyFile string `help:"File with the key's secret, or with the private key in PEM. One line feed at its end does not count." required:"" type:"path" placeholder:"FILE"`
}

// maxDecrypted limits the size of the text.
const maxDecrypted = 1 << 30

// encryptedValue matches an encrypted value in a text.
var encryptedValue = regexp.MustCompile(`enc:[a-z0-9][a-z0-9_-]{0,63}(?:\.[0-9]{1,6})?:[0-9a-f]{96,}`)

// Run prints the text with decrypted values of the key. It escapes them as in JSON, unless the
// whole text is one encrypted value.
func (c *decryptCommand) Run(a *program) error {
	secret, err := os.ReadFile(c.KeyFile)
	if err != nil {
		return fmt.Errorf("read the key: %w", err)
	}
	secret = bytes.TrimSuffix(bytes.TrimSuffix(secret, []byte("\n")), []byte("\r"))
	in := a.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return fmt.Errorf("read the text: %w", err)
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxDecrypted+1))
	if err != nil {
		return fmt.Errorf("read the text: %w", err)
	}
	if len(text) > maxDecrypted {
		return usage("the text is larger than %d MiB: split it", maxDecrypted>>20)
	}
	opener, err := openerOf(secret)
	if err != nil {
		return err
	}
	alone := encryptedValue.Match(text) && len(encryptedValue.ReplaceAll(bytes.TrimSpace(text), nil)) == 0
	opened, others := 0, 0
	out := encryptedValue.ReplaceAllFunc(text, func(value []byte) []byte {
		plain, err := opener.Decrypt(value)
		if err != nil {
			others++
			return value
		}
		opened++
		if alone {
			return plain
		}
		quoted, err := json.Marshal(string(plain))
		if err != nil {
			return value
		}
		return quoted[1 : len(quoted)-1]
	})
	w, done := a.exact() // a value may contain control sequences for the terminal
	if _, err := w.Write(out); err != nil {
		return err
	}
	if err := done(); err != nil {
		return err
	}
	if others > 0 {
		return fmt.Errorf("decrypt: %d values have another key or were changed; %d were decrypted", others, opened)
	}
	return nil
}

// openerOf returns the decryption with the content of a key file.
func openerOf(secret []byte) (interface{ Decrypt([]byte) ([]byte, error) }, error) {
	key := auditrelay.Key{Secret: auditrelay.Secret(secret)}
	switch {
	case key.Public() && !bytes.Contains(secret, []byte("PRIVATE KEY-----")):
		return nil, usage("the key file contains the public key: give the private key")
	case bytes.Contains(secret, []byte("PRIVATE KEY-----")):
		o, err := redaction.NewOpener(secret)
		if err != nil {
			return nil, usage("read the key: %v", err)
		}
		return o, nil
	}
	if err := keyform.Check(string(secret)); err != nil {
		return nil, usage("the key file: %v", err)
	}
	return redaction.NewCipher("", key), nil
}
