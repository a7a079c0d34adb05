// Package conformance is a kit of hostile modules that any build of the guest
// engine can be held to: what loops, recurses, traps, floods, grows, hands over
// nonsense or is none. Each must be refused with its reason or stopped with its
// cause, for a bounded cost, and the event after it handled well.
//
//	results, err := conformance.Run(ctx, target)
//
// Most modules stand as text beside their binaries in modules/; those that are
// large, or no modules at all, are made by this package.
package conformance
