// Package conformance is a test kit of hostile modules for any build of the guest engine. The
// modules loop, recurse, trap, flood, grow, pass invalid values or are invalid themselves. The
// engine must refuse each with the right reason or stop it with the right cause, at a bounded
// cost, and must handle the next event well.
//
//	results, err := conformance.Run(ctx, target)
//
// The source text of most modules is beside their binaries in modules/. This package generates
// the large and the invalid ones.
package conformance
