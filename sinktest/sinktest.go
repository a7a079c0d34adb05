// Package sinktest checks that a Sink keeps the contract, against the
// destination that it is for.
//
//	func TestSink(t *testing.T) {
//		sinktest.Run(t, func(t *testing.T) sinktest.Kit { ... })
//	}
//
// It runs best with -race: several checks write over memory that a sink must
// not hold any more.
package sinktest

import (
	"testing"

	"auditrelay"
)

// Kit is a sink and its destination. New and Read are required; a check whose
// function is nil is skipped and says so.
type Kit struct {
	// New makes a sink onto the kit's destination. It is called several times;
	// each time stands for a restart of the process, and the sink from before
	// has been closed if it is an io.Closer.
	New func(t *testing.T) auditrelay.Sink

	// Read returns every record at the destination: the documents as delivered,
	// without manifests.
	Read func(t *testing.T) [][]byte

	// Unordered says that Read cannot tell the order of delivery, as with
	// objects in a bucket.
	Unordered bool

	// Forgetful says that a restarted sink does not know what it delivered
	// before and delivers it again. Say so in the sink's documentation.
	Forgetful bool

	// Tear leaves the destination as a crash in the middle of delivering p does.
	Tear func(t *testing.T, p auditrelay.Payload)

	// LoseAnswer makes a sink whose destination stores the next payload while
	// the answer to it is lost.
	LoseAnswer func(t *testing.T) auditrelay.Sink

	// Hang makes a sink whose destination never answers.
	Hang func(t *testing.T) auditrelay.Sink

	// Fail makes a sink whose destination answers everything with this HTTP
	// status, stores nothing and quotes the request's body in its answer.
	Fail func(t *testing.T, status int) auditrelay.Sink

	// Rotate replaces the secret that the destination asks for, and puts the new
	// one where the sink's options say that it is read. The old one is void.
	Rotate func(t *testing.T)
}

// Run runs every check; setup makes a kit with an empty destination for each.
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
		{"a rotated secret is taken up", rotatedSecret},
		{"payloads are delivered concurrently", concurrently},
		{"a manifest goes beside the data", manifests},
	} {
		t.Run(check.name, func(t *testing.T) { check.run(t, setup(t)) })
	}
}
