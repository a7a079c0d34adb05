package oidc

import (
	"fmt"
	"strings"
)

// Claims are a token's claims about its holder.
type Claims map[string]any

// maxValues limits the list in a claim.
const maxValues = 1000

// Values returns the texts of a claim: one, those of a list, or none if the claim is missing. A
// dot in the name selects a field of an object, unless a claim has the whole name. A claim of
// another kind is an error.
func (c Claims) Values(name string) ([]string, error) {
	value, ok := c.find(name)
	if !ok || value == nil {
		return nil, nil
	}
	switch v := value.(type) {
	case string:
		return []string{v}, nil
	case []any:
		if len(v) > maxValues {
			return nil, fmt.Errorf("the claim %s has more than %d values", name, maxValues)
		}
		texts := make([]string, len(v))
		for i := range v {
			text, ok := v[i].(string)
			if !ok {
				return nil, fmt.Errorf("the claim %s is a list of other things than texts", name)
			}
			texts[i] = text
		}
		return texts, nil
	}
	return nil, fmt.Errorf("the claim %s is neither a text nor a list of texts", name)
}

func (c Claims) find(name string) (any, bool) {
	if v, ok := c[name]; ok {
		return v, true
	}
	first, rest, ok := strings.Cut(name, ".")
	if !ok {
		return nil, false
	}
	inner, ok := c[first].(map[string]any)
	if !ok {
		return nil, false
	}
	return Claims(inner).find(rest)
}

// Verified reports whether the issuer vouches for the email. Some issuers do not say.
func (c Claims) Verified() bool {
	v, said := c["email_verified"]
	return !said || v == true || v == "true"
}
