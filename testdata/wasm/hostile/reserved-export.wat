;; Exports a reserved name.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_fuel"))
  (func (export "auditrelay_event") (result i32) i32.const 1))
