;; Reads and writes a table here and there, and copies it over itself, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (table 10000 funcref)
  (elem declare func $f)
  (func $f)
  (func (export "auditrelay_event") (result i32)
    (local $x i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (table.set 0 (i32.rem_u (local.get $x) (i32.const 10000)) (ref.func $f))
      (table.set 0 (i32.rem_u (i32.shr_u (local.get $x) (i32.const 7)) (i32.const 10000)) (table.get 0 (i32.rem_u (i32.shr_u (local.get $x) (i32.const 3)) (i32.const 10000))))
      (if (i32.eqz (i32.and (local.get $x) (i32.const 1023))) (then (table.copy (i32.const 1) (i32.const 0) (i32.const 9999))))
      (br $l))
    (i32.const 1)))
