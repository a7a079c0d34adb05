package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"auditrelay/cli/internal/api"
	"auditrelay/internal/proof"
	"auditrelay/internal/verify"
)

type proveCommand struct {
	remote
	ID        string `arg:"" name:"event-id" help:"The event's id."`
	Namespace string `help:"Only of this namespace, such as litellm, emitted, auditrelay." placeholder:"NAME"`
	Callback  string `help:"Only of this callback." placeholder:"NAME"`
	Out       string `help:"The folder for the files." default:"." placeholder:"DIR" type:"path"`
}

func (c *proveCommand) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	proofs, err := cl.Proofs(a.ctx, api.ProofQuery{ID: c.ID, Namespace: c.Namespace, Callback: c.Callback})
	if err != nil {
		return err
	}
	if len(proofs) == 0 {
		return &api.Error{Status: 404, Reason: api.ReasonNotFound, Message: "no callback has an outcome of this event that can be proved",
			Hint: "it has none yet, or had it before a restore, with a signature that is missing or of another key: auditrelay explain shows it, and auditrelay verify checks its log in DATA_DIR and at the destination"}
	}
	if err := os.MkdirAll(c.Out, 0o700); err != nil {
		return fmt.Errorf("make the folder for the proofs: %w", err)
	}
	for _, p := range proofs {
		name := fmt.Sprintf("%s/%d-%s", c.Out, p.Sequence, p.Callback)
		if p.Replay != "" {
			name += "-" + p.Replay
		}
		name += ".tlog-proof"
		if err := os.WriteFile(name, []byte(p.File), 0o600); err != nil {
			return fmt.Errorf("write the proof: %w", err)
		}
		fmt.Fprintln(a.stdout, name)
	}
	return nil
}

type provenCommand struct {
	File     string   `arg:"" help:"The proof, as auditrelay prove writes it." type:"path"`
	Key      []string `help:"The public key that signed, or a file with it. Repeatable." required:"" placeholder:"PUB"`
	Document string   `help:"A document: says whether it is what came in, or what went out." placeholder:"FILE" type:"path"`
	JSON     bool     `help:"Print JSON."`
}

func (c *provenCommand) Run(a *program) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("read the proof: %w", err)
	}
	var o verify.FileOptions
	for _, key := range c.Key {
		public, err := keyText(key)
		if err != nil {
			return err
		}
		o.Keys = append(o.Keys, public)
	}
	if c.Document != "" {
		if o.Document, err = os.ReadFile(c.Document); err != nil {
			return fmt.Errorf("read the document: %w", err)
		}
	}
	p, err := verify.File(text, o)
	if wrong, ok := errors.AsType[*verify.FileError](err); ok {
		fmt.Fprintf(a.stdout, "FAILED: %s\n", escaped([]byte(err.Error())))
		return verdictError{wrong.Category}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		err = a.printJSON(p)
	} else {
		err = a.table(provenRows(p, c.Document != ""))
	}
	if err == nil && c.Document != "" && !p.Known() {
		return verdictError{verify.Altered}
	}
	return err
}

func provenRows(p *verify.Proven, document bool) [][]string {
	rows := [][]string{{"proved by", p.Origin}, {"sequence", count(p.Sequence)}}
	if !p.Accepted.IsZero() {
		rows = append(rows, []string{"accepted", moment(p.Accepted)})
	}
	outcome := p.Outcome
	switch kind, possible := strings.CutPrefix(p.Delivered, "possible "); {
	case possible:
		outcome += "; " + mayHaveArrived(kind, p.Digest)
	case p.Delivered != "nothing":
		outcome += ", a " + p.Delivered + " with SHA-256 " + p.Digest
	}
	rows = append(rows, []string{"outcome", outcome})
	if b := p.Besides; b != nil {
		rows = append(rows, []string{"besides", mayHaveArrived(strings.TrimPrefix(b.Delivered, "possible "), b.Digest)})
	}
	if r := p.Receipt; r != nil {
		for _, f := range r.Filters {
			rows = append(rows, []string{"filter", filterText(&f)})
		}
		if why := strings.Trim(r.Cause+" "+r.Filter+" "+r.Reason, " "); why != "" {
			rows = append(rows, []string{"why", why})
		}
		rows = append(rows, []string{"configuration", r.Config})
	}
	if document {
		rows = append(rows, []string{"document", documentText(p)})
	}
	if e := p.Event; e != nil {
		rows = append(rows, []string{"event", e.Namespace + " " + e.ID}, []string{"came by", e.Source + " " + e.Principal})
	}
	return rows
}

func mayHaveArrived(kind, digest string) string {
	if digest == "" {
		return "a " + kind + " of unknown content may have arrived"
	}
	return "a " + kind + " with SHA-256 " + digest + " may have arrived"
}

func documentText(p *verify.Proven) string {
	switch {
	case p.Went && strings.HasPrefix(p.Delivered, "possible "), p.Besides != nil && p.Besides.Went && !p.Went:
		text := "it is what may have arrived"
		if p.Came {
			text = "it is what came in, and what may have arrived"
		}
		return text
	case p.Came && p.Went:
		return "it is what came in, and what went out"
	case p.Came:
		return "it is what came in"
	case p.Went:
		return "it is what went out"
	}
	return "it is neither what came in nor what went out"
}

func filterText(f *proof.FilterText) string {
	text := f.Name + " " + f.Kind
	if f.Version != "" {
		text += " " + f.Version
	}
	text += " " + f.Digest
	for _, e := range f.Edits {
		text += fmt.Sprintf("; %s %s x%d", e.Operation, e.Path, e.Count)
	}
	return text
}

type receiptsCommands struct {
	List  receiptsCommand      `cmd:"" default:"withargs" help:"Show each event's filters, versions, edits, outcomes and digests."`
	Check receiptsCheckCommand `cmd:"" help:"Say whether a document is what came in, or what went out, and by which filters (role comply)."`
}

type receiptsCheckCommand struct {
	remote
	ID        string   `arg:"" name:"event-id" help:"The event's id."`
	File      string   `arg:"" help:"The document." type:"path"`
	Key       []string `help:"The public key that signs, or a file with it. Repeatable." required:"" placeholder:"PUB"`
	Namespace string   `help:"Only of this namespace, such as litellm, emitted, auditrelay." placeholder:"NAME"`
	Callback  string   `help:"Only on this callback." placeholder:"NAME"`
}

func (c *receiptsCheckCommand) Run(a *program) error {
	document, err := os.ReadFile(c.File)
	if err != nil {
		return fmt.Errorf("read the document: %w", err)
	}
	o := verify.FileOptions{Document: document}
	for _, key := range c.Key {
		public, err := keyText(key)
		if err != nil {
			return err
		}
		o.Keys = append(o.Keys, public)
	}
	cl, err := c.client()
	if err != nil {
		return err
	}
	proofs, err := cl.Proofs(a.ctx, api.ProofQuery{ID: c.ID, Namespace: c.Namespace, Callback: c.Callback})
	if err != nil {
		return err
	}
	known := false
	for i, p := range proofs {
		proven, err := verify.File([]byte(p.File), o)
		if wrong, ok := errors.AsType[*verify.FileError](err); ok {
			fmt.Fprintf(a.stdout, "FAILED: the proof of callback %s: %s\n", escaped([]byte(p.Callback)), escaped([]byte(err.Error())))
			return verdictError{wrong.Category}
		}
		if err != nil {
			return fmt.Errorf("the proof of callback %s: %w", p.Callback, err)
		}
		if i > 0 {
			fmt.Fprintln(a.stdout)
		}
		known = known || proven.Known()
		if err := a.table(append([][]string{{"callback", p.Callback}}, provenRows(proven, true)...)); err != nil {
			return err
		}
	}
	if !known {
		return verdictError{verify.Altered}
	}
	return nil
}
