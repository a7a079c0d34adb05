// Package confine lets a process of this program give up, for good, what it does not need:
// files, network, other processes, new privileges, new executable memory.
//
// A child process calls [Lock] first, before it reads anything that it does not trust. It
// loads its modules, calls [Tighten], and only then runs guest code. The parent starts it
// with [Start], which puts it into namespaces of its own where the system permits that.
// Each call returns a [Report]: what was applied, and what was not and why.
//
// A system call that is not on the list kills the process with SIGSYS instead of returning
// an error. A process that tries one is not in the state that we tested: either its guest
// broke out, or this program has a bug. An error would let an attacker try on, and the
// parent would not see it. The few calls that Go's runtime and C libraries try and can do
// without return an error instead.
//
// The list is for Linux on amd64 and arm64. On other systems nothing is applied, and the
// report says so.
package confine
