// Package confine lets a process of this program permanently drop what it does not need: files,
// network, other processes, new privileges, and new executable memory.
//
// A child process first calls [Lock], before it reads untrusted data. It loads its modules,
// calls [Tighten], and only then runs guest code. The parent starts the child with [Start],
// which puts it into its own namespaces if the system permits that. Each call returns a
// [Report] of what was applied and what was not, with the reason.
//
// A system call that is not on the list kills the process with SIGSYS instead of returning an
// error. Such a call means that the guest broke out or that this program has a bug. With an
// error an attacker could keep trying, and the parent would not notice. The few calls that Go's
// runtime and C libraries try but do not need return an error instead.
//
// The list is for Linux on amd64 and arm64. On other systems nothing is applied, and the report
// says so.
package confine
