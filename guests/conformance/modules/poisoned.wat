;; Marks its state, then traps: the next event must not find the mark.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (global $mark (mut i32) (i32.const 0))
  (func (export "auditrelay_event") (result i32)
    (if (i32.or (global.get $mark) (i32.load (i32.const 4096))) (then (return (i32.const 99))))
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (global.set $mark (i32.const 1))
    (i32.store (i32.const 4096) (i32.const 1))
    (unreachable)))
