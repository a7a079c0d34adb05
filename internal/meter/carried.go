package meter

// Where branches join, compiled code moves the values that differ between them: locals set on
// one of them, and the operands of a branch. Values without a register move through memory. The
// head of a loop is such a join on every iteration.

const (
	// freeMoves is the number of values that a join moves without charge: they have registers.
	freeMoves = 16
	// moveWeight is the weight of each further value.
	moveWeight = 1
)

// carried counts the distinct locals set in a block. Each is one value to move.
type carried struct {
	last []int // by local: its latest set, from 1; 0: never set
	tree []int // a binary indexed tree over sets: 1 if it is the latest set of its local
	sets int   // number of sets so far
}

func (c *carried) reset(locals, sets int) {
	c.last = append(c.last[:0], make([]int, locals)...)
	c.tree = append(c.tree[:0], make([]int, sets+1)...)
	c.sets = 0
}

// set records that a local is set.
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

// since returns the number of distinct locals set after the first sets sets.
func (c *carried) since(sets int) int { return c.upTo(c.sets) - c.upTo(sets) }

func (c *carried) upTo(at int) int {
	n := 0
	for ; at > 0; at -= at & -at {
		n += c.tree[at]
	}
	return n
}

// moves returns the weight of a join that carries this number of values.
func moves(values int) int64 { return moveWeight * int64(max(0, values-freeMoves)) }
