package cli

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"

	"auditrelay/internal/proof"

	"golang.org/x/mod/sumdb/note"
)

type proofCommands struct {
	Keygen proofKeygen `cmd:"" help:"Make a key that signs proofs."`
	Public proofPublic `cmd:"" help:"Print the public key of a signing key."`
}

type proofKeygen struct {
	Name string `help:"The name in the key, such as the relay's host: no spaces, no +." default:"auditrelay" placeholder:"NAME"`
	Out  string `help:"The file for the signing key; it must not exist." required:"" placeholder:"FILE" type:"path"`
}

func (c *proofKeygen) Run(a *program) error {
	key, public, err := note.GenerateKey(rand.Reader, c.Name)
	if err != nil {
		return err
	}
	if _, err := note.NewVerifier(public); err != nil {
		return usage("a key cannot be named %q: use a name without spaces and +", c.Name)
	}
	f, err := os.OpenFile(c.Out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write the signing key: %w", err)
	}
	_, err = fmt.Fprintln(f, key)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("write the signing key: %w", err)
	}
	_, err = fmt.Fprintln(a.stdout, public)
	return err
}

type proofPublic struct {
	File string `arg:"" help:"The file with the signing key, such as proof.key in the data directory." type:"path"`
}

func (c *proofPublic) Run(a *program) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("read the signing key: %w", err)
	}
	public, err := proof.PublicKey(string(text))
	if err != nil {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	_, err = fmt.Fprintln(a.stdout, public)
	return err
}
