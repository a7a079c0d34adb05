;; Reads the whole event for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "event_read" (func $event_read (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l (drop (call $event_read (i32.const 0) (i32.const 65536))) (br $l))
    (i32.const 1)))
