package meter

// Where ways meet, the compiled code moves the values that differ by way: of locals that
// were set on one of them, and what a branch carries. Those that find no register are
// moved through memory. A loop's head is such a place at every trip.

const (
	// freeMoves is how many values a join moves for nothing: they have registers.
	freeMoves = 16
	// moveWeight is what each further one takes.
	moveWeight = 1
)

// carried counts how many locals are set in a block: distinct ones, since each is one
// value to move.
type carried struct {
	last []int // by local: its latest set, from 1; 0: never
	tree []int // a binary indexed tree over sets: 1 where it is its local's latest
	sets int   // so far
}

func (c *carried) reset(locals, sets int) {
	c.last = append(c.last[:0], make([]int, locals)...)
	c.tree = append(c.tree[:0], make([]int, sets+1)...)
	c.sets = 0
}

// set notes that a local is set.
func (c *carried) set(local int) {
	c.sets++
	if before := c.last[local]; before > 0 {
		c.add(before, -1)
	}
	c.last[local] = c.sets
	c.add(c.sets, 1)
}

func (c *carried) add(at, n int) {
	for ; at < len(c.tree); at += at & -at {
		c.tree[at] += n
	}
}

// since returns how many locals were set behind the first sets sets.
func (c *carried) since(sets int) int { return c.upTo(c.sets) - c.upTo(sets) }

func (c *carried) upTo(at int) int {
	n := 0
	for ; at > 0; at -= at & -at {
		n += c.tree[at]
	}
	return n
}

// moves is the weight of a join to which so many values are carried.
func moves(values int) int64 { return moveWeight * int64(max(0, values-freeMoves)) }
