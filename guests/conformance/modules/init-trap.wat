;; auditrelay_init traps.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_init") (result i32) (unreachable))
  (func (export "auditrelay_event") (result i32) (i32.const 1)))
