package verify

import (
	"path"
	"strings"
)

// places returns a function that finds a payload's file by its key. The place may be a copy of
// part of the bucket, or contain the bucket in a folder.
func places(names []string, stated []*payload) func(key string) (string, bool) {
	exists := make(map[string]bool, len(names))
	byBase := map[string][]string{}
	for _, name := range names {
		exists[name] = true
		byBase[path.Base(name)] = append(byBase[path.Base(name)], name)
	}
	type shift struct{ key, name string }
	votes := map[shift]int{}
	for i, p := range stated {
		if i == 1000 {
			break
		}
		for _, name := range byBase[path.Base(p.Key)] {
			k, n := p.Key, name
			for k != "" && n != "" && k[len(k)-1] == n[len(n)-1] {
				k, n = k[:len(k)-1], n[:len(n)-1]
			}
			// Go back to a folder boundary in both.
			common := p.Key[len(k):]
			if i := strings.IndexByte(common, '/'); (k != "" && k[len(k)-1] != '/' || n != "" && n[len(n)-1] != '/') && i >= 0 {
				k, n = k+common[:i+1], n+common[:i+1]
			}
			votes[shift{k, n}]++
		}
	}
	var best shift
	most := 0
	for s, n := range votes {
		if n > most || n == most && s.key+s.name < best.key+best.name {
			best, most = s, n
		}
	}
	return func(key string) (string, bool) {
		rest, ok := strings.CutPrefix(key, best.key)
		return best.name + rest, ok && exists[best.name+rest]
	}
}
