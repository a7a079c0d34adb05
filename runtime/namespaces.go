package runtime

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"auditrelay"
	"auditrelay/runtime/internal/journal"
)

// namespaces tracks the namespaces of the journal's events. The journal finds an event by namespace and id;
// a lookup with only an id tries all of these.
type namespaces struct {
	mu   sync.RWMutex
	seen map[string]bool // besides the three that every journal has
}

const namespacePrefix = "namespace/"

// everyJournal returns the namespaces of every journal, in the order of a lookup.
func everyJournal() []string {
	return []string{auditrelay.NamespaceLiteLLM, auditrelay.NamespaceRelay, auditrelay.NamespaceEmitted}
}

func (n *namespaces) load(j *journal.Journal) error {
	n.seen = map[string]bool{}
	err := j.Scan(journal.MetaKey(namespacePrefix), journal.MetaKey(namespacePrefix+"\xff"), func(k journal.Key, _ []byte) error {
		if _, name, _, ok := k.Split(); ok {
			n.seen[strings.TrimPrefix(name, namespacePrefix)] = true
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the namespaces: %w", err)
	}
	return nil
}

// isNew reports whether a namespace must be stored with its first event.
func (n *namespaces) isNew(name string) bool {
	if slices.Contains(everyJournal(), name) {
		return false
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	return !n.seen[name]
}

func namespaceKey(name string) journal.Key { return journal.MetaKey(namespacePrefix + name) }

// add remembers namespaces that are durable.
func (n *namespaces) add(names []string) {
	if len(names) == 0 {
		return
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, name := range names {
		n.seen[name] = true
	}
}

// named returns the namespaces to search: the given one, or all.
func (n *namespaces) named(namespace string) []string {
	if namespace != "" {
		return []string{namespace}
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	var others []string
	for name := range n.seen {
		others = append(others, name)
	}
	slices.Sort(others)
	return append(everyJournal(), others...)
}

// maxNamesakes limits the returned events with one id.
const maxNamesakes = 100

// lookup returns the sequence of the first event with this id, in any namespace if namespace is empty.
// others are further events with the id: those accepted after the first left the window of known ids, and
// those of other namespaces.
func (r *Runtime) lookup(namespace, id string) (first uint64, others []uint64, err error) {
	var all []uint64
	var erased error
	for _, ns := range r.namespaces.named(namespace) {
		// A filter before the journal may have replaced the id by its digest.
		found, err := r.journal.All(ns, []string{id, r.idDigest(auditrelay.Event{Namespace: ns, ID: id})}, maxNamesakes)
		if errors.Is(err, ErrErased) {
			erased = err
		} else if err != nil {
			return 0, nil, err
		}
		all = append(all, found...)
	}
	switch {
	case len(all) == 0 && erased != nil:
		return 0, nil, erased
	case len(all) == 0:
		return 0, nil, fmt.Errorf("event %q: %w", id, ErrNotSeen)
	}
	return all[0], all[1:min(len(all), maxNamesakes)], nil
}
