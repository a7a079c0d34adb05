package cli

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

type completionCommand struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"bash, zsh or fish."`
}

func (c *completionCommand) Run(a *program) error {
	var words []completion
	collect(a.parser.Model.Node, nil, &words)
	switch c.Shell {
	case "fish":
		return fishCompletion(a.stdout, words)
	case "zsh":
		fmt.Fprint(a.stdout, "#compdef auditrelay\nautoload -U +X bashcompinit && bashcompinit\n")
	}
	return bashCompletion(a.stdout, words)
}

// completion lists the possible words after one command.
type completion struct {
	path        []string
	subcommands []*kong.Node
	flags       []*kong.Flag
}

func collect(n *kong.Node, path []string, into *[]completion) {
	c := completion{path: path}
	for _, flags := range n.AllFlags(true) {
		c.flags = append(c.flags, flags...)
	}
	for _, child := range n.Children {
		if !child.Hidden {
			c.subcommands = append(c.subcommands, child)
		}
	}
	*into = append(*into, c)
	for _, child := range c.subcommands {
		collect(child, append(path[:len(path):len(path)], child.Name), into)
	}
}

func bashCompletion(w io.Writer, all []completion) error {
	var cases strings.Builder
	for _, c := range all {
		var words []string
		for _, sub := range c.subcommands {
			words = append(words, sub.Name)
		}
		for _, flag := range c.flags {
			words = append(words, "--"+flag.Name)
		}
		fmt.Fprintf(&cases, "    %q) words=%q ;;\n", strings.Join(c.path, " "), strings.Join(words, " "))
	}
	var known []string
	for _, c := range all[1:] {
		known = append(known, fmt.Sprintf("%q", strings.Join(c.path, " ")))
	}
	_, err := fmt.Fprintf(w, `_auditrelay() {
  local cur="${COMP_WORDS[COMP_CWORD]}" path="" next words i
  for ((i = 1; i < COMP_CWORD; i++)); do
    next="${path:+$path }${COMP_WORDS[i]}"
    case "$next" in
    %s) path="$next" ;;
    esac
  done
  case "$path" in
%s  esac
  COMPREPLY=($(compgen -W "$words" -- "$cur"))
}
complete -o default -F _auditrelay auditrelay
`, strings.Join(known, "|"), cases.String())
	return err
}

func fishCompletion(w io.Writer, all []completion) error {
	var b strings.Builder
	quote := func(s string) string { return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'" }
	for _, c := range all {
		condition := "__fish_use_subcommand"
		if len(c.path) > 0 {
			condition = "__fish_seen_subcommand_from " + c.path[0]
			for _, p := range c.path[1:] {
				condition += "; and __fish_seen_subcommand_from " + p
			}
		}
		for _, sub := range c.subcommands {
			fmt.Fprintf(&b, "complete -c auditrelay -f -n %s -a %s -d %s\n", quote(condition), quote(sub.Name), quote(sub.Help))
		}
		for _, flag := range c.flags {
			fmt.Fprintf(&b, "complete -c auditrelay -n %s -l %s -d %s\n", quote(condition), quote(flag.Name), quote(flag.Help))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
