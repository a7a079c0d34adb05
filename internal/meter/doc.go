// Package meter makes WebAssembly modules safe to run, by construction. It decodes and
// validates the whole module, rejects unknown features and exceeded limits, and rewrites the
// module so that it pays for its work in advance. This package runs and compiles no module.
//
// A rewritten module counts down two globals. It pays fuel at the start of each straight run of
// instructions, at least once per loop iteration and per call; bulk operations pay by length.
// Depth is the stack use of a call, returned when the call returns. When either falls below
// zero, the module calls an imported function, which adds fuel and returns, or does not return.
// Otherwise the rewritten module behaves like the original.
//
// The guarantees of cost:
//   - Work is paid for before it is done. The work done never exceeds the fuel paid. The fuel paid may
//     exceed the work by at most [Slack] for each charge, and by the work that a trap cuts off.
//   - Once fuel is below zero, at most [Overshoot] units of work paid since then run until the imported
//     function is called. A check always follows a call before anything more is paid.
//   - Depth falls below zero by at most the refused frame and a leaf of [LeafSlots].
package meter

// Version changes whenever Rewrite may return other bytes or facts for the same input, or
// refuse an input it accepted. Caches of Rewrite's results must include it in their key.
const Version = "6"
