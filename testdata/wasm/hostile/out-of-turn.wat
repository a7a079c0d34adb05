;; Compiles a path in the middle of an event.
(module
  (import "auditrelay_v1" "path" (func $f (param i32 i32) (result i32)))
  (data (i32.const 0) "a")
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (drop (call $f (i32.const 0) (i32.const 1)))
    i32.const 1))
