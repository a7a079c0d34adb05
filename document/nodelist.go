package document

import "slices"

// mostMoved is the maximum number of nodes in the first slice, which is copied when it grows. Further nodes
// are in pieces of pieceNodes and never move. A copy of a million nodes would delay a guest's next check of
// the clock.
const (
	mostMoved  = 1 << 16
	pieceNodes = 1 << 14
)

// at returns the node n, which must exist. The result is valid until the next node is added.
func (d *Document) at(n Node) *node {
	if uint(n) < uint(len(d.nodes)) {
		return &d.nodes[n]
	}
	return d.far(n)
}

// far must not be inlined, since at would then be too large for inlining.
//
//go:noinline
func (d *Document) far(n Node) *node {
	i := int(n) - len(d.nodes)
	return &d.pieces[i/pieceNodes][i%pieceNodes]
}

// count returns the number of nodes.
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

// next adds a node. Its fields still have values from an earlier event.
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
