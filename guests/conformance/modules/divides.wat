;; Divides the largest numbers, each waiting for the last, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $x i64) (local $y i64)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (local.set $x (i64.const -1)) (local.set $y (i64.const 3))
    (loop $l
      (local.set $y (i64.or (i64.rem_u (i64.const -1) (i64.or (i64.div_u (local.get $x) (local.get $y)) (i64.const 1))) (i64.const 3)))
      (local.set $x (i64.sub (i64.const -1) (i64.rem_s (local.get $x) (local.get $y))))
      (br $l))
    (i32.const 1)))
