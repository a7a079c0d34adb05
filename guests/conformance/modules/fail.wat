;; Calls fail.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "fail" (func $fail (param i32 i32)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (call $fail (i32.const 0) (i32.const 4))
    (i32.const 1)))
