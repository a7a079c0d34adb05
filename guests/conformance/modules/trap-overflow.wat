;; Divides the least integer by -1.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (i32.div_s (i32.const 0x80000000) (i32.sub (i32.load (i32.const 0)) (i32.const 1)))))
