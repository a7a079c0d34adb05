package redaction

import "auditrelay/document"

// keepOnly removes everything that the policy's allow-list does not name.
func (a *Applier) keepOnly() error {
	d := a.doc
	kept := map[document.Node]bool{} // true: keep the whole value; false: keep part of it
	for _, p := range a.policy.keepOnly {
		for n := d.EachOutside(p, document.None); n != document.None; n = d.EachOutside(p, n) {
			kept[n] = true
			for up := d.Parent(n); up != document.None; up = d.Parent(up) {
				if _, ok := kept[up]; ok {
					break
				}
				kept[up] = false
			}
		}
	}
	return a.prune(document.Root, kept)
}

func (a *Applier) prune(n document.Node, kept map[document.Node]bool) error {
	for c := a.doc.Child(n, document.None); c != document.None; c = a.doc.Child(n, c) {
		whole, ok := kept[c]
		switch {
		case whole:
		case ok:
			if err := a.prune(c, kept); err != nil {
				return err
			}
		default:
			a.count(a.keepOnlyTouch())
			if err := a.doc.Delete(c); err != nil {
				return wrap(err)
			}
		}
	}
	return nil
}
