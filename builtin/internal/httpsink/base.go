package httpsink

import "auditrelay"

// Base is what all sinks of this package do alike. A sink embeds it under a name of its own
// package, so that its fields stay the sink's:
//
//	type base = httpsink.Base
type Base struct {
	client *Client
	forget func()
}

// NewBase returns the base of a sink that sends by client. forget makes the next delivery
// read the credentials again; nil: there are none.
func NewBase(client *Client, forget func()) Base { return Base{client, forget} }

// Concurrency returns the most requests at a time.
func (b Base) Concurrency() int { return b.client.Concurrency() }

// Close gives up idle connections.
func (b Base) Close() error { b.client.Close(); return nil }

// Refresh makes the next delivery read the credentials again.
func (b Base) Refresh() {
	if b.forget != nil {
		b.forget()
	}
}

// Packed is the Base of a sink whose payloads are packed by one Packing.
type Packed struct {
	Base
	packing Packing
}

// NewPacked returns one; see NewBase.
func NewPacked(client *Client, packing Packing, forget func()) Packed {
	return Packed{NewBase(client, forget), packing}
}

// Split halves a payload.
func (p Packed) Split(payload auditrelay.Payload) (first, second auditrelay.Payload, err error) {
	return p.packing.Split(payload)
}

// Complete is all that a sink of this package is.
type Complete interface {
	auditrelay.Sink
	auditrelay.Splitter
	auditrelay.Concurrent
	auditrelay.Prober
	auditrelay.Refresher
	Close() error
}

// ForgetAfter calls forget where err says that the credentials may be at fault, and returns
// err.
func ForgetAfter(err error, forget func()) error {
	switch auditrelay.KindOf(err) {
	case auditrelay.Unauthorized, auditrelay.Misconfigured:
		forget()
	}
	return err
}
