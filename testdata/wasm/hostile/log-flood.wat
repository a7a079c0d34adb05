;; Logs ten thousand lines an event, and keeps it.
(module
  (import "auditrelay_v1" "log" (func $f (param i32 i32 i32) (result i32)))
  (data (i32.const 0) "noise")
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $i i32)
    (loop $l
      (drop (call $f (i32.const 1) (i32.const 0) (i32.const 5)))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $l (i32.lt_u (local.get $i) (i32.const 10000))))
    i32.const 1))
