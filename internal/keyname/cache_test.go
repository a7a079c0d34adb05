package keyname

import (
	"fmt"
	"testing"
)

// A cache returns the last value for a key, or nothing. It never returns another key's value.
func TestCache(t *testing.T) {
	var c Cache[int]
	kept := 0
	for i := range 5000 {
		key := fmt.Appendf(nil, "key%d", i)
		if c.Get(key) != nil {
			t.Fatal("there before it was put")
		}
		c.Put(key, i)
		if v := c.Get(key); v == nil || *v != i {
			t.Fatalf("%s: %v", key, v)
		}
	}
	for i := range 5000 {
		if v := c.Get(fmt.Appendf(nil, "key%d", i)); v != nil {
			if kept++; *v != i {
				t.Fatalf("key%d: %d", i, *v)
			}
		}
	}
	if kept < cacheEntries/2 || kept > cacheEntries {
		t.Errorf("%d are kept", kept)
	}
	c.Put(nil, 1)
	c.Put(make([]byte, CachedBytes+1), 1)
	if c.Get(nil) != nil || c.Get(make([]byte, CachedBytes+1)) != nil {
		t.Error("kept beyond its bounds")
	}
}
