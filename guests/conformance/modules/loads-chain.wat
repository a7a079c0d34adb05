;; Loads that wait for each other, all over 8 MiB, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 128)
  (func (export "auditrelay_init") (result i32) (local $i i32)
    (loop $l
      (i32.store (local.get $i) (i32.and (i32.add (i32.mul (local.get $i) (i32.const 1664525)) (i32.const 1013904256)) (i32.const 0x7fffc0)))
      (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 64))) (i32.const 0x800000))))
    (i32.const 0))
  (func (export "auditrelay_event") (result i32) (local $i i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l (local.set $i (i32.load (local.get $i))) (br $l))
    (i32.const 1)))
