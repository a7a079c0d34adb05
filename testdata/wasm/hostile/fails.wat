;; Calls fail on every event.
(module
  (import "auditrelay_v1" "fail" (func $f (param i32 i32)))
  (data (i32.const 0) "no such team: x")
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (call $f (i32.const 0) (i32.const 15))
    i32.const 1))
