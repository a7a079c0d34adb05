package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"

	"auditrelay/internal/test/vectors"

	gitleaks "github.com/zricethezav/gitleaks/v8/detect"
)

// vector is an event with or without a secret.
type vector struct {
	event  []byte
	secret string // "" for a clean event
}

// vectorClass is a list of vectors of one kind.
type vectorClass struct {
	name    string
	vectors []vector
}

// detectionGroup compares maskers: the share of found vectors by class, the share of changed
// clean events, and the CPU time per event.
func detectionGroup(n int) error {
	all, err := maskers()
	if err != nil {
		return err
	}
	leaks, err := gitleaksMasker()
	if err != nil {
		return err
	}
	all = append(all[1:], leaks) // without "nothing"
	classes := vectorClasses()
	fmt.Println("\nFound, of vectors by class; of clean events: changed")
	for _, m := range all {
		fmt.Printf("  %s\n", m.name)
		for _, c := range classes {
			found, events := 0, 0
			begin := cpu()
			for _, v := range c.vectors {
				out, err := m.mask(v.event)
				if err != nil {
					return fmt.Errorf("%s: %w", m.name, err)
				}
				if events++; v.secret == "" && !sameJSON(out, v.event) || v.secret != "" && !bytes.Contains(out, []byte(v.secret)) {
					found++
				}
				if len(c.vectors) > n && events >= n {
					break
				}
			}
			fmt.Printf("    %-58s %6d of %6d, %8.1f us an event\n", c.name, found, events, float64((cpu()-begin).Microseconds())/float64(events))
		}
	}
	return nil
}

// sameJSON reports whether two events have the same values, whatever their encoding.
func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	p, _ := json.Marshal(x)
	q, _ := json.Marshal(y)
	return bytes.Equal(p, q)
}

// vectorClasses returns the classes: token forms known to public detectors; forms of services
// that are new or changed since; values without a form, recognisable by their place; and clean
// values. Our rules were written with the first two available.
func vectorClasses() []vectorClass {
	random := rand.New(rand.NewPCG(11, 2026))
	public, services, contexts, clean := vectorClass{name: fmt.Sprintf("%d known forms at their vendors' lengths, four positions", len(vectors.Public))}, vectorClass{name: fmt.Sprintf("%d forms of services of 2025 and 2026, four positions", len(vectors.Services))},
		vectorClass{name: "values without a form, in telling places"}, vectorClass{name: fmt.Sprintf("clean values of %d kinds (false positives)", len(vectors.Clean))}
	for _, s := range vectors.Public {
		for range 3 {
			public.vectors = append(public.vectors, positions(vectors.Grow(random, s[1]))...)
		}
	}
	for _, s := range vectors.Services {
		for range 3 {
			services.vectors = append(services.vectors, positions(vectors.Grow(random, s[1]))...)
		}
	}
	later := vectorClass{name: fmt.Sprintf("%d forms of services that were written down after the rules", len(vectors.Later))}
	for _, s := range vectors.Later {
		for range 3 {
			later.vectors = append(later.vectors, positions(vectors.Grow(random, s[1]))...)
		}
	}
	fresh := vectorClass{name: fmt.Sprintf("%d further forms of services that were written down after the rules", len(vectors.Fresh))}
	for _, s := range vectors.Fresh {
		for range 3 {
			fresh.vectors = append(fresh.vectors, positions(vectors.Grow(random, s[1]))...)
		}
	}
	contexts.add(vectors.Contexts)
	laterContexts := vectorClass{name: "such places that were written down after the rules"}
	laterContexts.add(vectors.LaterContexts)
	freshContexts := vectorClass{name: "further such places that were written down after the rules"}
	freshContexts.add(vectors.FreshContexts)
	for _, value := range vectors.Clean {
		for i := range 300 {
			event, _ := json.Marshal(map[string]any{"updated_values": map[string]any{vectors.CleanKeys[i%len(vectors.CleanKeys)]: value(random)}})
			clean.vectors = append(clean.vectors, vector{event: event})
		}
	}
	return []vectorClass{public, services, later, fresh, contexts, laterContexts, freshContexts, clean}
}

// add adds the weak secrets in each of the places.
func (c *vectorClass) add(places []string) {
	for _, place := range places {
		for _, secret := range vectors.Weak {
			event := strings.ReplaceAll(strings.ReplaceAll(place, "%q", `"%s"`), "%s", secret)
			c.vectors = append(c.vectors, vector{[]byte(event), secret})
		}
	}
}

// positions returns events with a secret under a neutral key, in JSON in a string, in a
// sentence, and as a key.
func positions(secret string) (all []vector) {
	inner, _ := json.Marshal(map[string]any{"a": map[string]any{"x": secret}})
	for _, event := range []any{
		map[string]any{"updated_values": map[string]any{"x": secret}},
		map[string]any{"updated_values": string(inner)},
		map[string]any{"updated_values": map[string]any{"note": "Ann put " + secret + " there, yesterday."}},
		map[string]any{"updated_values": map[string]any{secret: true}},
	} {
		text, _ := json.Marshal(event)
		all = append(all, vector{text, secret[len(secret)*2/3:]})
	}
	return all
}

// gitleaksMasker replaces the findings of gitleaks, with its own rules, in the event's text.
func gitleaksMasker() (masker, error) {
	d, err := gitleaks.NewDetectorDefaultConfig()
	if err != nil {
		return masker{}, fmt.Errorf("gitleaks: %w", err)
	}
	return masker{"gitleaks 8.30.1 with its own rules, over the event's text", func(event []byte) ([]byte, error) {
		out := event
		for _, f := range d.DetectBytes(event) {
			if f.Secret != "" {
				out = bytes.ReplaceAll(out, []byte(f.Secret), []byte("REDACTED"))
			}
		}
		return out, nil
	}}, nil
}
