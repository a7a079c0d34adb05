;; Compiles an expression whose program is as large as they get.
(module
  (import "auditrelay_v1" "regex" (func $f (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "((((a{0,100}){0,100}){0,100}){0,100}){0,100}")
  (func (export "auditrelay_init") (result i32) (drop (call $f (i32.const 0) (i32.const 44))) (i32.const 0))
  (func (export "auditrelay_event") (result i32) (i32.const 1)))
