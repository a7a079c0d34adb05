package config

import "slices"

// Text returns the configuration as Show prints it, without defaults. It contains no secrets.
func (c *Config) Text() ([]byte, error) { return c.shown(c.root) }

// CallbackText is Text for one callback and the filters that it lists. CallbackDigest covers
// the same text, and also secrets and the contents of files that the text names. CallbackText
// returns nothing if there is no such callback.
func (c *Config) CallbackText(name string) ([]byte, error) {
	part := &node{kind: kindMapping}
	for i, k := range c.root.keysOf() {
		item := c.root.items[i]
		switch k.text {
		case "filters":
			item = c.filtersOf(item, name)
		case "callbacks":
			item = callbackOf(item, name)
		default:
			continue
		}
		if len(item.items) > 0 {
			part.keys, part.items = append(part.keys, k), append(part.items, item)
		}
	}
	return c.shown(part)
}

// filtersOf returns the filters that a callback lists.
func (c *Config) filtersOf(filters *node, callback string) *node {
	part := &node{kind: kindMapping}
	for i := range c.Callbacks {
		if c.Callbacks[i].Name != callback {
			continue
		}
		for at, k := range filters.keysOf() {
			if slices.Contains(c.Callbacks[i].Filters, k.text) {
				part.keys, part.items = append(part.keys, k), append(part.items, filters.items[at])
			}
		}
	}
	return part
}

func callbackOf(callbacks *node, name string) *node {
	part := &node{kind: kindList}
	if callbacks.kind != kindList {
		return part
	}
	for _, item := range callbacks.items {
		if n := item.get("name"); n != nil && n.text == name {
			part.items = append(part.items, item)
		}
	}
	return part
}

// keysOf returns a mapping's keys.
func (n *node) keysOf() []*node {
	if n == nil || n.kind != kindMapping {
		return nil
	}
	return n.keys
}

func (c *Config) shown(root *node) ([]byte, error) {
	if root == nil || len(root.keysOf()) == 0 {
		return nil, nil
	}
	secrets, err := c.Catalogue().Set("secrets")
	if err != nil {
		return nil, err
	}
	s := &shower{secrets: secrets}
	s.mapping(root, "", false, 0)
	return []byte(s.String()), nil
}
