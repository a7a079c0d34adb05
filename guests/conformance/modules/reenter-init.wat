;; Runs its own auditrelay_init in an event, to make a path there.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "action")
  (func $init (export "auditrelay_init") (result i32) (drop (call $path (i32.const 0) (i32.const 6))) (i32.const 0))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (drop (call $init))
    (i32.const 1)))
