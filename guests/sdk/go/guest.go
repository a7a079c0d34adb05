package guest

import "runtime"

// Verdict is the decision on one event. The zero value is none, which is a
// failure.
type Verdict int32

const (
	Keep Verdict = 1 // the event goes on, with the edits made
	Drop Verdict = 2 // the event ends here
)

// yieldEvery is how many events pass between two chances for the goroutines of
// Go's runtime (sweeper, scavenger, finalizers) to run: in a reactor they get no
// other, but for what an allocation that must wait gives them.
const yieldEvery = 32

var (
	onEvent func() Verdict
	onInit  func() error
	events  uint32
)

// OnEvent registers the function that is called for every event.
func OnEvent(f func() Verdict) { onEvent = f }

// OnInit registers a function that is called once, before the first event: to
// check the configuration, say. Its error fails the load and is shown to the
// operator.
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
