package httpsink

import "auditrelay"

// Base is the common part of all sinks that use this package. A sink embeds it under a name of
// its own package, so the fields remain private to the sink:
//
//	type base = httpsink.Base
type Base struct {
	client *Client
	forget func()
}

// NewBase returns the base of a sink that sends with client. forget makes the next delivery
// read the credentials again. It is nil if there are none.
func NewBase(client *Client, forget func()) Base { return Base{client, forget} }

// Concurrency returns the maximum number of simultaneous requests.
func (b Base) Concurrency() int { return b.client.Concurrency() }

// Close closes idle connections.
func (b Base) Close() error { b.client.Close(); return nil }

// Refresh makes the next delivery read the credentials again.
func (b Base) Refresh() {
	if b.forget != nil {
		b.forget()
	}
}

// Packed is the Base of a sink whose payloads all use one Packing.
type Packed struct {
	Base
	packing Packing
}

// NewPacked returns a Packed; see NewBase.
func NewPacked(client *Client, packing Packing, forget func()) Packed {
	return Packed{NewBase(client, forget), packing}
}

// Split halves a payload.
func (p Packed) Split(payload auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	return p.packing.Split(payload)
}

// Complete is everything that a sink of this package implements.
type Complete interface {
	auditrelay.Sink
	auditrelay.Splitter
	auditrelay.Concurrent
	auditrelay.Prober
	auditrelay.Refresher
	Close() error
}

// ForgetAfter calls forget if err may be the fault of the credentials, and returns err.
func ForgetAfter(err error, forget func()) error {
	switch auditrelay.KindOf(err) {
	case auditrelay.Unauthorized, auditrelay.Misconfigured:
		forget()
	}
	return err
}
