;; Rounds and converts numbers to and fro, each waiting for the last, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $x i64)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (local.set $x (i64.const -3))
    (loop $l
      (local.set $x (i64.trunc_sat_f64_u (f64.nearest (f64.copysign (f64.convert_i64_u (local.get $x)) (f64.convert_i64_s (local.get $x))))))
      (local.set $x (i64.or (i64.trunc_sat_f32_s (f32.trunc (f32.convert_i64_u (local.get $x)))) (i64.const 5)))
      (br $l))
    (i32.const 1)))
