;; Sets, reads, copies and fills tables of functions and of foreign references, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (table $f 4096 funcref)
  (table $e 4096 externref)
  (elem declare func $f0)
  (func $f0)
  (func (export "auditrelay_event") (result i32)
    (local $i i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l
      (table.set $f (local.get $i) (ref.func $f0))
      (table.copy $f $f (i32.const 1) (i32.const 0) (i32.const 4095))
      (table.fill $e (i32.const 0) (ref.null extern) (i32.const 4096))
      (drop (ref.is_null (table.get $f (local.get $i))))
      (local.set $i (i32.and (i32.add (local.get $i) (i32.const 1)) (i32.const 4095)))
      (br $l))
    (i32.const 1)))
