package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
)

const litellmEnv = "os.environ/"

// maxSecretFile limits a file that contains a value.
const maxSecretFile = 64 << 10

var (
	envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	fileRef = regexp.MustCompile(`^file:(/|\./|\.\./)`)

	// dollar matches every use of a dollar that may have a meaning: an escaped dollar, braces
	// with their content, and a name in capitals, as environment variables have.
	dollar      = regexp.MustCompile(`\$\$[A-Z_{(]|\$\{[^}]*\}?|\$\([^)]*\)?|\$[A-Z_][A-Z0-9_]+`)
	envCapitals = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
	homeOf      = regexp.MustCompile(`^~[a-z0-9_-]*(/|$)`)
	inBraces    = regexp.MustCompile(`^\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}$`)
)

// foreignSecret matches a secret in the file that looks like another program's reference: of
// shells, templates, Windows, .env files, secret stores, Kubernetes, SOPS and code.
var foreignSecret = regexp.MustCompile(`(?i)^(?:\$\w+|%\w+%|<[^<>]*>|!\w+ .*|ENC\[.*|@[./].*|ref\+\w+://.*|arn:aws[\w-]*:(?:secretsmanager|ssm):.*|projects/[^/]+/secrets/.*|` +
	`(?:env|environ|environment|os\.environ|os\.getenv|process\.env|secrets?|secret_?refs?|vault|hashivault|op|ssm|akv|keyvault|azurekeyvault|gcp-?sm|aws-?sm|awssecretsmanager|gsm|doppler|infisical|bws|k8s|kubernetes|docker)(?::|\.|\[|\()\S+)$|` +
	`\{\{.*\}\}`)

// resolver replaces references in values:
//
//	os.environ/NAME   the environment variable, as LiteLLM writes it
//	${NAME}           the same, also inside a longer value
//	${NAME:-default}  the same; the default if the variable is unset or empty
//	file:/path        the file's content without one line feed at its end
//
// A value that looks like another program's reference ($NAME, ${env:NAME}, ~/) is an error.
// Otherwise it would be used unchanged, for example as a token or a bucket's name. $$ before a
// brace, a parenthesis or a name in capitals is a plain dollar. In texts that are not the
// relay's own settings (a guest's config, a detector's pattern), $( has no meaning.
type resolver struct {
	report *report
	lookup func(string) (string, bool)
	dir    string
	// elsewhere has the variables that the file sets only for LiteLLM.
	elsewhere map[string]int
	// lenient keeps references that cannot be resolved.
	lenient bool
	// foreign: the file is LiteLLM's, in which a dollar and a tilde have no meaning.
	foreign bool
}

// all resolves every scalar below n. It resolves a node once, even if several merges refer to
// it.
func (r *resolver) all(n *node, path string) {
	if n == nil {
		return
	}
	switch n.kind {
	case kindMapping:
		for i, k := range n.keys {
			r.all(n.items[i], join(path, k.text))
		}
	case kindList:
		for i, item := range n.items {
			r.all(item, index(path, i))
		}
	case kindString:
		if !n.resolved {
			n.resolved = true
			r.scalar(n, path)
		}
	}
}

func (r *resolver) scalar(n *node, path string) {
	text, isRef, err := r.resolve(n.text, ownTexts.MatchString(path))
	if !isRef {
		n.text = text
		if err != nil {
			n.text, n.unset = "", true // reported once, here
			r.report.addError(n, path, err)
		}
		return
	}
	n.ref, n.text = n.text, text
	if file, ok := strings.CutPrefix(n.ref, "file:"); ok {
		n.exposed = othersMayRead(relative(r.dir, file))
	}
	if err != nil {
		n.text, n.unset = "", true
		if !r.lenient {
			r.report.addError(n, path, err)
		}
	}
}

// ownTexts matches the paths of texts that another program interprets.
var ownTexts = regexp.MustCompile(`^(?:filters\.[^.]+\.config|detectors)\.`)

// resolve returns the resolved text. With others, $( has no meaning.
func (r *resolver) resolve(text string, others bool) (value string, isRef bool, err error) {
	if name, ok := strings.CutPrefix(text, litellmEnv); ok {
		if !envName.MatchString(name) {
			return "", true, errors.New("os.environ/ is not followed by a variable's name")
		}
		value, err = r.variable(name)
		return value, true, err
	}
	if fileRef.MatchString(text) {
		value, err = r.file(strings.TrimPrefix(text, "file:"))
		return value, true, err
	}
	if err := r.lookalike(text); err != nil {
		return text, false, err
	}
	var lookalike error
	var unset []error
	value = dollar.ReplaceAllStringFunc(text, func(match string) string {
		m := inBraces.FindStringSubmatch(match)
		switch {
		case strings.HasPrefix(match, "$$"):
			if r.foreign && match != "$${" || others && match == "$$(" {
				return match
			}
			return match[1:]
		case others && strings.HasPrefix(match, "$("):
			return match
		case m == nil && r.foreign:
			return match
		case m == nil:
			lookalike = errLookalike(text)
			return match
		}
		isRef = true
		if m[2] != "" {
			if value, ok := r.lookup(m[1]); ok && value != "" {
				return value
			}
			return m[3]
		}
		value, err := r.variable(m[1])
		if err != nil {
			unset = append(unset, err)
		}
		return value
	})
	return value, isRef, errors.Join(append(unset, lookalike)...)
}

// lookalike rejects a path that a shell would expand.
func (r *resolver) lookalike(text string) error {
	if !r.foreign && homeOf.MatchString(text) {
		return errors.New("~ is not expanded: write the directory in full, or begin with ${HOME}/")
	}
	return nil
}

// errLookalike suggests the right form of a reference. It shows a name only if the name is the
// whole value, since elsewhere it could be part of a password.
func errLookalike(text string) error {
	expected := "${NAME}, ${NAME:-default}, os.environ/NAME or file:/path"
	if name, ok := strings.CutPrefix(text, "$"); ok && envCapitals.MatchString(name) {
		expected = "${" + name + "}"
	}
	return fmt.Errorf("this looks like a reference but is not: expected %s; write $$ for a plain dollar", expected)
}

func (r *resolver) variable(name string) (string, error) {
	if value, ok := r.lookup(name); ok {
		return value, nil
	}
	hint := ""
	if line, ok := r.elsewhere[name]; ok {
		hint = fmt.Sprintf("; environment_variables sets it on line %d, but for LiteLLM's process alone: set it for this one too", line)
	}
	return "", fmt.Errorf("the environment variable %s is not set%s", name, hint)
}

func (r *resolver) file(path string) (string, error) {
	path = relative(r.dir, path)
	// Checked before opening, since opening a pipe could wait for ever.
	info, err := os.Stat(path)
	if err != nil {
		return "", fmt.Errorf("the value's file: %w", err)
	}
	if !info.Mode().IsRegular() {
		return "", fmt.Errorf("the value's file %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("the value's file: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretFile+1))
	if err != nil {
		return "", fmt.Errorf("the value's file: %w", err)
	}
	if len(data) > maxSecretFile {
		return "", fmt.Errorf("the value's file %s is larger than %d KiB", path, maxSecretFile>>10)
	}
	text := strings.TrimSuffix(string(data), "\n")
	return strings.TrimSuffix(text, "\r"), nil
}

// escaped returns text with escaped dollars, so that it is not read as a reference.
func escaped(text string) string {
	return dollar.ReplaceAllStringFunc(text, func(match string) string { return "$" + match })
}
