// Package sinktest tests a Sink with its destination against the contract of auditrelay.Sink.
//
//	func TestSink(t *testing.T) {
//		sinktest.Run(t, func(t *testing.T) sinktest.Kit { ... })
//	}
//
// Run it with -race, since several checks overwrite memory that a sink must not keep.
package sinktest

import (
	"testing"

	"auditrelay"
)

// Kit is a sink and its destination. New and Read are required. If another function is nil, its
// check is skipped and says so.
type Kit struct {
	// New returns a sink for the kit's destination. Each call simulates a restart of the
	// process. The previous sink has been closed if it is an io.Closer.
	New func(t *testing.T) auditrelay.Sink

	// Read returns every record at the destination: the documents as delivered, without
	// manifests.
	Read func(t *testing.T) [][]byte

	// Unordered means that Read does not return the order of delivery, as with objects in a
	// bucket.
	Unordered bool

	// Forgetful means that a restarted sink repeats earlier deliveries. The sink's
	// documentation must say so.
	Forgetful bool

	// Tear puts the destination into the state of a crash in the middle of delivering p.
	Tear func(t *testing.T, p auditrelay.Payload)

	// LoseAnswer returns a sink whose destination stores the next payload, but whose response
	// is lost.
	LoseAnswer func(t *testing.T) auditrelay.Sink

	// Hang returns a sink whose destination never responds.
	Hang func(t *testing.T) auditrelay.Sink

	// Fail returns a sink whose destination responds to every request with this HTTP status,
	// stores nothing, and quotes the request's body in its response.
	Fail func(t *testing.T, status int) auditrelay.Sink

	// Answer returns a sink whose destination gives this response to every request and stores
	// nothing.
	Answer func(t *testing.T, a Answer) auditrelay.Sink

	// Refuse returns a sink whose destination permanently rejects the record in the way of its
	// protocol: the whole request with the record, or only that record. It stores the other
	// records if the protocol does.
	Refuse func(t *testing.T, record string) auditrelay.Sink

	// HangAfter returns a sink whose destination stores the next payload and never responds. It
	// responds to later requests.
	HangAfter func(t *testing.T) auditrelay.Sink

	// Stall returns a sink whose destination stops reading in the middle of the next request's
	// body. It accepts later requests.
	Stall func(t *testing.T) auditrelay.Sink

	// Doubles means that the destination cannot detect a repeated payload, so that it may have
	// records twice after a lost response. The sink's documentation must say so.
	Doubles bool

	// TooLarge is the size in bytes of a record that the destination rejects. The sink must
	// name the record in Render. 0: there is no limit.
	TooLarge int

	// Expire invalidates the destination's secret, which the sink's options still have. Rotate
	// is called afterwards.
	Expire func(t *testing.T)

	// Rotate replaces the destination's secret, and writes the new one where the sink's options
	// read it. The old secret becomes invalid.
	Rotate func(t *testing.T)
}

// Answer is a destination's response to a request.
type Answer struct {
	Status int
	Header map[string]string
	Body   string
}

// Run runs every check. For each check, setup must return a Kit with an empty destination.
func Run(t *testing.T, setup func(t *testing.T) Kit) {
	for _, check := range []struct {
		name string
		run  func(t *testing.T, kit Kit)
	}{
		{"render is pure", renderIsPure},
		{"render puts every record in one payload, in order", renderCovers},
		{"render gives different chunks different keys", renderKeysDiffer},
		{"render of nothing gives nothing", renderNothing},
		{"render does not hold the records", renderCopies},
		{"render names the records that it cannot take", renderNamesBadRecords},
		{"what is delivered is read back", deliversEverything},
		{"a payload delivered again changes nothing", redeliveryIsHarmless},
		{"a payload delivered again after a restart changes nothing", redeliveryAfterRestart},
		{"a payload torn by a crash is made whole", tornDelivery},
		{"a lost answer does not double", lostAnswer},
		{"the halves of a payload hold what it held", splitCovers},
		{"a cancelled delivery stops and can be made again", cancellation},
		{"a hanging delivery stops when it is told to", hanging},
		{"deliver does not hold the payload", deliverCopies},
		{"no other status than 2xx is delivery", statusIsNoDelivery},
		{"errors carry no event data", errorsCarryNoData},
		{"throttling is told with the pause that was asked for", throttling},
		{"a log-in page with status 200 is no delivery", pageIsNoDelivery},
		{"a refused record leaves the others alone", partialFailure},
		{"a timeout after the payload was stored loses nothing", ambiguousTimeout},
		{"a delivery cancelled in the middle of its body can be made again", cancelledMidBody},
		{"a record over the limit is named before it is sent", tooLargeRecord},
		{"a rotated secret is taken up", rotatedSecret},
		{"an expired secret stalls and its successor is taken up", expiredSecret},
		{"payloads are delivered concurrently", concurrently},
		{"a manifest goes beside the data", manifests},
		{"a reader reads what stands there", readsBack},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, setup(t)) })
	}
}
