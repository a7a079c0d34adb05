;; Traps.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    unreachable))
