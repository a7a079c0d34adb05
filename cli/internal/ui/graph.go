package ui

import (
	"fmt"
	"slices"
	"strings"

	"auditrelay/cli/internal/api"
)

// Dimensions of a graph, in SVG units.
const (
	nodeWidth, nodeHeight = 150, 46
	nodeGap, rowGap       = 34, 34
	nodeText              = 19 // characters that fit
)

// graph is a picture of an event's path through a callback: the journal, each filter and the
// sink, and below them the events that leave the path.
type graph struct {
	Width, Height int
	Nodes         []node
	Edges         []edge
	Text          string // text alternative
}

// node is a box. Name is the full name, Label the part that fits.
type node struct {
	X, Y               int
	TextX, Line, Line2 int
	Name, Label, Note  string
	Class              string
}

// edge is an arrow's line.
type edge struct{ X1, Y1, X2, Y2 int }

func fitting(s string) string {
	if r := []rune(s); len(r) > nodeText {
		return string(r[:nodeText-1]) + "…"
	}
	return s
}

func (g *graph) add(column, row int, name, note, class string) {
	x, y := 1+column*(nodeWidth+nodeGap), 1+row*(nodeHeight+rowGap)
	g.Nodes = append(g.Nodes, node{x, y, x + nodeWidth/2, y + 19, y + 36, name, fitting(name), fitting(note), class})
	g.Width, g.Height = max(g.Width, x+nodeWidth+1), max(g.Height, y+nodeHeight+1)
	switch {
	case row > 0:
		g.Edges = append(g.Edges, edge{x + nodeWidth/2, y - rowGap, x + nodeWidth/2, y - 6})
	case column > 0:
		g.Edges = append(g.Edges, edge{x - nodeGap, y + nodeHeight/2, x - 6, y + nodeHeight/2})
	}
}

// newGraph returns the graph of a callback. guests are the running guest filters.
func newGraph(s *api.CallbackStatus, guests []api.Filter) graph {
	g := graph{}
	n := func(v uint64) string { return grouped(fmt.Sprint(v)) }
	g.add(0, 0, "journal", n(s.Account.Assigned)+" assigned", "")
	words := []string{"journal"}
	last := len(s.Filters)
	for i, name := range s.Filters {
		note := "native filter"
		if at := slices.IndexFunc(guests, func(f api.Filter) bool { return f.Name == name }); at >= 0 {
			f := &guests[at]
			note = "guest, no module"
			if f.SHA256 != "" {
				note = "guest " + f.SHA256[:min(12, len(f.SHA256))]
			}
			class := ""
			if f.Breaker.Open {
				note, class = "guest, resting", "bad"
			}
			g.add(i+1, 0, name, note, class)
			for row, to := range f.Grants.Emit {
				g.add(i+1, row+1, "emits to "+to, "", "side")
				words = append(words, "(which may emit to "+to+")")
			}
		} else {
			g.add(i+1, 0, name, note, "")
		}
		words = append(words, "filter "+name)
	}
	sink := s.Sink
	if sink == "" {
		sink = "no sink"
	}
	g.add(last+1, 0, sink, n(s.Account.Delivered)+" delivered", "")
	words = append(words, sink)
	row := 1
	for _, out := range []struct {
		name, class string
		n           uint64
	}{{"pending", "", s.Account.Pending}, {"dead letters", "bad", s.Account.DeadLettered}, {"filtered", "", s.Account.Filtered}, {"discarded", "", s.Account.Discarded}, {"skipped", "", s.Account.Skipped}} {
		if out.n > 0 {
			g.add(last+1, row, out.name, n(out.n), "side "+out.class)
			row++
		}
	}
	g.Text = "Way of an event: " + strings.Join(words, ", then ") + "."
	return g
}
