;; Its start returns 3.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_init") (result i32) i32.const 3)
  (func (export "auditrelay_event") (result i32) i32.const 1))
