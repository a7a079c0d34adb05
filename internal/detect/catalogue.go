package detect

// Info describes a detector, for people. Example is made up.
type Info struct {
	Name, Group  string
	Finds        string
	Example      string
	DoesNotFind  string
	ExampleUnder string // the name that the example stands under, "" where it needs none
}

// detector is what a Set is made of.
type detector struct {
	Info
	anchors []anchor
	named   []namedRule
}

// groups returns the names by which New takes several detectors at once.
func groups() []string { return []string{"secrets", "pii"} }

// All returns what there is, in the order of docs/reference/detectors.md.
func All() []Info {
	var all []Info
	for _, d := range detectors() {
		all = append(all, d.Info)
	}
	return all
}

// detectors returns every detector. Where two find the same, the first names it.
func detectors() []detector {
	all := append(secrets(), personal()...)
	for i, d := range all {
		for j := range d.anchors {
			all[i].anchors[j].detector = d.Name
		}
		for j := range d.named {
			all[i].named[j].detector = d.Name
		}
	}
	return all
}
