package httpsink

import "sync"

// remembered is the maximum number of keys.
const remembered = 4096

// Known contains the keys of the payloads that a process delivered last, so that none is sent
// again. The zero value is ready. It is safe for concurrent use.
type Known struct {
	mu    sync.Mutex
	keys  map[string]bool
	order []string // the same, oldest first
}

// Has reports whether key was added and not removed since.
func (k *Known) Has(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.keys[key]
}

// Add adds key. It removes the oldest key if there are too many.
func (k *Known) Add(key string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.keys[key] {
		return
	}
	if k.keys == nil {
		k.keys = map[string]bool{}
	}
	k.keys[key] = true
	if k.order = append(k.order, key); len(k.order) > remembered {
		delete(k.keys, k.order[0])
		k.order = append(k.order[:0:0], k.order[1:]...)
	}
}
