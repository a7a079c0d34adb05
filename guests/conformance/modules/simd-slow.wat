;; Divides, takes roots of and shuffles vectors of denormal numbers that wait for each other, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $v v128) (local $d v128)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (local.set $v (v128.const i64x2 0x000fffffffffffff 0x0000000000000003))
    (local.set $d (v128.const i64x2 0x3ff0000000000001 0x3fe0000000000000))
    (loop $l
      (local.set $v (f64x2.div (local.get $v) (local.get $d)))
      (local.set $v (f64x2.mul (f64x2.sqrt (local.get $v)) (local.get $v)))
      (local.set $v (i8x16.swizzle (local.get $v) (v128.const i8x16 8 9 10 11 12 13 14 15 0 1 2 3 4 5 6 7)))
      (v128.store offset=13 align=1 (i32.const 4083) (local.get $v)) ;; across two pages
      (local.set $v (v128.or (v128.load offset=13 align=1 (i32.const 4083)) (v128.const i64x2 1 1)))
      (local.set $v (v128.and (local.get $v) (v128.const i64x2 0x000fffffffffffff 0x000fffffffffffff)))
      (br $l))
    (i32.const 1)))
