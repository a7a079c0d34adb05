package document

import "slices"

// mostMoved is how many nodes lie in one slice, which is copied to grow. Those behind it are
// in pieces of pieceNodes and never move: a copy of a million would keep a guest from
// looking at the clock.
const (
	mostMoved  = 1 << 16
	pieceNodes = 1 << 14
)

// at returns the node n, which must be there. It is valid until the next node is added.
func (d *Document) at(n Node) *node {
	if uint(n) < uint(len(d.nodes)) {
		return &d.nodes[n]
	}
	return d.far(n)
}

// far is not for inlining: at would be too large for that then.
//
//go:noinline
func (d *Document) far(n Node) *node {
	i := int(n) - len(d.nodes)
	return &d.pieces[i/pieceNodes][i%pieceNodes]
}

// count returns how many nodes there are.
func (d *Document) count() int {
	n := len(d.nodes)
	if p := len(d.pieces); p > 0 {
		n += (p-1)*pieceNodes + len(d.pieces[p-1])
	}
	return n
}

// add adds a node.
func (d *Document) add(nd node) Node {
	n, at := d.next()
	*at = nd
	return n
}

// next adds a node, which has the value of an earlier event's.
func (d *Document) next() (Node, *node) {
	n := len(d.nodes)
	if n == cap(d.nodes) {
		if n >= mostMoved {
			return d.nextFar()
		}
		d.nodes = slices.Grow(d.nodes, 1)
		d.nodes = d.nodes[:n:min(cap(d.nodes), mostMoved)]
	}
	d.nodes = d.nodes[:n+1]
	return Node(n), &d.nodes[n]
}

func (d *Document) nextFar() (Node, *node) {
	n := Node(d.count()) //nolint:gosec // fewer than bytes
	if last := len(d.pieces) - 1; last < 0 || len(d.pieces[last]) == pieceNodes {
		d.pieces = append(d.pieces, make([]node, 0, pieceNodes))
	}
	piece := &d.pieces[len(d.pieces)-1]
	*piece = append(*piece, node{})
	return n, &(*piece)[len(*piece)-1]
}
