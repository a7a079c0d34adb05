package runtime

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"auditrelay"
)

// TestHistoryIsBounded: the attempt history of a lane stays small, whatever fails for however
// long, and whatever a destination answers. It keeps a stuck payload's first attempt and its
// last ones.
func TestHistoryIsBounded(t *testing.T) {
	var h attempts
	long := strings.Repeat("é\x00\u202e", 1<<16)
	for n := 1; n <= 50; n++ {
		for payload := uint64(1); payload <= 40; payload++ {
			a := Attempt{Payload: payload, Number: n, Result: AttemptRetried}
			a.failedWith(&auditrelay.DeliveryError{Status: 503, Answer: long, Err: errors.New(long)})
			h.add(a)
		}
	}
	bytes, kept := 0, len(h.recent)
	count := func(list []Attempt) {
		for _, a := range list {
			bytes += len(a.Error) + len(a.Answer)
			if len(a.Answer) > auditrelay.MaxAnswer || !utf8.ValidString(a.Answer) || strings.ContainsAny(a.Answer, "\x00\u202e") {
				t.Fatalf("an answer of %d bytes: %q", len(a.Answer), a.Answer)
			}
		}
	}
	count(h.recent)
	for _, list := range h.stuck {
		kept += len(list)
		count(list)
	}
	if kept != recentAttempts+stuckPayloads*stuckAttempts || bytes > 400<<10 {
		t.Errorf("%d attempts with %d bytes of text are kept", kept, bytes)
	}
	list := h.of(3)
	if len(list) != stuckAttempts || list[0].Number != 1 || list[1].Number != 50-stuckAttempts+2 || list[len(list)-1].Number != 50 {
		t.Errorf("of the stuck payload is kept: %v", numbers(list))
	}
	h.add(Attempt{Payload: 3, Number: 51, Result: AttemptDelivered})
	if len(h.stuck) != stuckPayloads-1 {
		t.Errorf("%d payloads count as stuck after one was delivered", len(h.stuck))
	}
	if latest := h.latest(); latest[0].Number != 51 || latest[1].Payload != 40 {
		t.Errorf("the latest attempts are %v", latest[:2])
	}
	h.forgetTexts()
	bytes = 0
	count(h.recent)
	for _, list := range h.stuck {
		count(list)
	}
	if bytes != 0 {
		t.Errorf("%d bytes of text are left", bytes)
	}
}

func numbers(list []Attempt) (out []int) {
	for _, a := range list {
		out = append(out, a.Number)
	}
	return out
}

// TestAttemptOfAHealthyCallbackAllocatesNothing: the history allocates nothing for a successful
// delivery.
func TestAttemptOfAHealthyCallbackAllocatesNothing(t *testing.T) {
	var h attempts
	for range recentAttempts {
		h.add(Attempt{Result: AttemptDelivered})
	}
	if n := testing.AllocsPerRun(100, func() { h.add(Attempt{Payload: 1, Result: AttemptDelivered}) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestReasonsOfFailures(t *testing.T) {
	for _, c := range []struct {
		err  error
		want auditrelay.AttemptReason
	}{
		{nil, auditrelay.ReasonNone},
		{&auditrelay.DeliveryError{Reason: auditrelay.ReasonAge, Err: io.EOF}, auditrelay.ReasonAge},
		{&auditrelay.RecordErrors{}, auditrelay.ReasonRecords},
		{&panicError{"it panicked"}, auditrelay.ReasonPanic},
		{fmt.Errorf("dial: %w", &net.DNSError{Err: "no such host", Name: "x"}), auditrelay.ReasonDNS},
		{fmt.Errorf("the certificate is not trusted: %w", x509.UnknownAuthorityError{}), auditrelay.ReasonTLS},
		{fmt.Errorf("post: %w", context.DeadlineExceeded), auditrelay.ReasonTimeout},
		{&net.OpError{Op: "dial", Err: syscall.ECONNREFUSED}, auditrelay.ReasonRefused},
		{&net.OpError{Op: "read", Err: syscall.ECONNRESET}, auditrelay.ReasonConnection},
		{&net.OpError{Op: "dial", Err: errors.New("no route")}, auditrelay.ReasonConnection},
		{io.ErrUnexpectedEOF, auditrelay.ReasonConnection},
		{errors.New("anything"), auditrelay.ReasonOther},
	} {
		if got := failureReason(c.err); got != c.want {
			t.Errorf("%v is %q, expected %q", c.err, got, c.want)
		}
	}
}
