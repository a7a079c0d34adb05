;; Compiles a path that is none.
(module
  (import "auditrelay_v1" "path" (func $f (param i32 i32) (result i32)))
  (data (i32.const 0) "a..b")
  (memory (export "memory") 1)
  (func (export "auditrelay_init") (result i32) (drop (call $f (i32.const 0) (i32.const 4))) i32.const 0)
  (func (export "auditrelay_event") (result i32) i32.const 1))
