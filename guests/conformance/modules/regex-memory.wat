;; Makes expressions that take much memory while it starts.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "regex" (func $regex (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) ".{999}.{999}.{999}")
  (func (export "auditrelay_init") (result i32)
    (loop $l (drop (call $regex (i32.const 0) (i32.const 18))) (br $l))
    (i32.const 0))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (i32.const 1)))
