;; Recurses on a stack of its own in linear memory until that is used up.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (global $sp (mut i32) (i32.const 4096))
  (func $f
    (global.set $sp (i32.sub (global.get $sp) (i32.const 256)))
    (i64.store (global.get $sp) (i64.const 1))
    (call $f)
    (global.set $sp (i32.add (global.get $sp) (i32.const 256))))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (call $f) (i32.const 1)))
