;; Grows its memory as far as that goes, then writes to a page here and a page there, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $x i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $g (br_if $g (i32.ne (memory.grow (i32.const 1)) (i32.const -1))))
    (loop $l
      (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
      (i64.store align=1 (i32.rem_u (i32.and (local.get $x) (i32.const -4096)) (i32.shl (memory.size) (i32.const 16))) (i64.const -1))
      (br $l))
    (i32.const 1)))
