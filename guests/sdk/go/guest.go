package guest

import "runtime"

// Verdict is the decision on one event. The zero value is no decision, which is a failure.
type Verdict int32

const (
	Keep Verdict = 1 // the event continues with the edits made
	Drop Verdict = 2 // the event ends here
)

// yieldEvery is the number of events between two chances to run for the goroutines of Go's
// runtime (sweeper, scavenger, finalizers). In a reactor they otherwise run only when an
// allocation must wait.
const yieldEvery = 32

var (
	onEvent func() Verdict
	onInit  func() error
	events  uint32
)

// OnEvent registers the function to call for every event.
func OnEvent(f func() Verdict) { onEvent = f }

// OnInit registers a function to call once before the first event, for example to check the
// configuration. Its error fails the load and is shown to the operator.
func OnInit(f func() error) { onInit = f }

func handleInit() int32 {
	if onEvent == nil {
		Fail("no function is registered with OnEvent")
	}
	if onInit != nil {
		if err := onInit(); err != nil {
			Fail(err.Error())
		}
	}
	return 0
}

func handleEvent() int32 {
	if events++; events%yieldEvery == 0 {
		runtime.Gosched()
	}
	return int32(onEvent())
}
