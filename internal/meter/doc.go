// Package meter makes WebAssembly modules safe to run, by construction: it
// decodes and validates the whole module, rejects unknown features and exceeded
// limits, and rewrites the module so that it pays for its work in advance. Nothing
// here runs or compiles a module.
//
// A rewritten module counts down two globals. Fuel is paid at the head of each
// straight run of instructions, at least once per trip round a loop and per call;
// bulk operations pay by length. Depth is what a call takes of the stack, given
// back when the call returns. When either falls below zero the module calls an
// imported function, which adds fuel and returns, or does not return. Otherwise the
// rewritten module behaves as the original.
//
// The guarantees of cost:
//   - Work is paid for before it is done. What runs is never more than what was
//     paid; what was paid may exceed it by at most [Slack] for each charge, and by
//     what a trap cuts off.
//   - Once fuel is below zero, no more than [Overshoot] units of work paid since
//     then run until the imported function is called, and a call is always
//     followed by a check before anything more is paid.
//   - Depth falls below zero by no more than the frame that is refused and a leaf
//     of [LeafSlots].
package meter

// Version changes whenever Rewrite may give other bytes or facts for the same
// input, or refuse what it took. It belongs into the key of whatever caches what
// Rewrite returns.
const Version = "6"
