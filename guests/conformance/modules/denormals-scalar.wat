;; Takes roots of, divides and converts denormal numbers of both sizes that wait for each other, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $a f64) (local $b f32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (local.set $a (f64.reinterpret_i64 (i64.const 4503599627370495))) (local.set $b (f32.reinterpret_i32 (i32.const 8388607)))
    (loop $l
      (local.set $b (f32.div (f32.demote_f64 (local.get $a)) (f32.sqrt (local.get $b))))
      (local.set $a (f64.mul (f64.sqrt (f64.promote_f32 (local.get $b))) (f64.reinterpret_i64 (i64.const 3))))
      (local.set $b (f32.reinterpret_i32 (i32.and (i32.reinterpret_f32 (local.get $b)) (i32.const 8388607))))
      (br $l))
    (i32.const 1)))
