;; Its start calls fail.
(module
  (import "auditrelay_v1" "fail" (func $f (param i32 i32)))
  (data (i32.const 0) "no teams configured")
  (memory (export "memory") 1)
  (func (export "auditrelay_init") (result i32) (call $f (i32.const 0) (i32.const 19)) i32.const 0)
  (func (export "auditrelay_event") (result i32) i32.const 1))
