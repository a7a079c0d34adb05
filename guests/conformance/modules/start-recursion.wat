;; Its start function calls itself.
(module
  (memory (export "memory") 1)
  (func $s (call $s))
  (start $s)
  (func (export "auditrelay_event") (result i32) (i32.const 1)))
