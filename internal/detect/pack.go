package detect

import (
	_ "embed"
	"fmt"
	"sync"

	"github.com/BurntSushi/toml"
)

// packText is the rules that come with the relay.
//
//go:embed pack/secrets.toml
var packText string

// personalText is the rules of personal identifiers, by country.
//
//go:embed pack/personal.toml
var personalText string

// packRule is a Rule as pack/*.toml writes it.
type packRule struct {
	ID              string   `toml:"id"`
	Description     string   `toml:"description"`
	Groups          []string `toml:"groups"`
	Forms           []string `toml:"forms"`
	Keywords        []string `toml:"keywords"`
	Entropy         float64  `toml:"entropy"`
	Mix             string   `toml:"mix"`
	Exact           bool     `toml:"exact"`
	Check           string   `toml:"check"`
	Near            []string `toml:"near"`
	Examples        []string `toml:"examples"`
	CounterExamples []string `toml:"counter_examples"`
	Source          string   `toml:"source"`
}

type pack struct {
	Version string     `toml:"version"`
	Rules   []packRule `toml:"rules"`
}

func readPack(text string) (pack, error) {
	var p pack
	meta, err := toml.Decode(text, &p)
	if err != nil {
		return p, fmt.Errorf("the shipped rules: %w", err)
	}
	if unknown := meta.Undecoded(); len(unknown) > 0 {
		return p, fmt.Errorf("the shipped rules: %v: no such key", unknown)
	}
	return p, nil
}

// shippedRules and personalRules compile the packs once.
var (
	shippedRules  = sync.OnceValues(func() ([]*compiledRule, error) { return compilePack(packText) })
	personalRules = sync.OnceValues(func() ([]*compiledRule, error) { return compilePack(personalText) })
)

func compilePack(text string) ([]*compiledRule, error) {
	p, err := readPack(text)
	if err != nil {
		return nil, err
	}
	var all []*compiledRule
	for _, r := range p.Rules {
		c, err := Rule{
			ID: r.ID, Description: r.Description, Groups: r.Groups, Forms: r.Forms, Keywords: r.Keywords, Entropy: r.Entropy, Mix: r.Mix,
			Exact: r.Exact, Check: r.Check, Near: r.Near, Examples: r.Examples, CounterExamples: r.CounterExamples, Source: r.Source,
		}.compile()
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}

// PackVersion returns the version of the shipped rules.
func PackVersion() string {
	p, err := readPack(packText)
	if err != nil {
		return "" // a test has read them
	}
	return p.Version
}
