package runtime

import (
	"auditrelay/filter"
	"auditrelay/internal/receipts"
)

// visited notes for the receipt that a filter saw the event: which one it was, and
// what it touched, where that took effect.
func (w *worker) visited(step *Step, instance filter.Instance, call *filter.Call, err error) {
	v := receipts.Visit{Filter: step.Name, Description: describe(step.Filter, instance)}
	if err == nil {
		v.Touched = call.Touched
	}
	w.tracker.Visited(v)
}

// describe asks the instance first, since that knows which module judged.
func describe(f filter.Filter, instance filter.Instance) (d filter.Description) {
	defer func() { _ = recover() }() // a filter that cannot say what it is has said nothing
	if described, ok := instance.(filter.Described); ok {
		return described.Describe()
	}
	if described, ok := f.(filter.Described); ok {
		return described.Describe()
	}
	return filter.Description{}
}
