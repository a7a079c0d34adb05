;; manifest {"name":"replace-deep","abi":"1.0","writes":["**"],"emits":true}
;; Replaces the event by arrays nested a thousand deep.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "event_replace" (func $event_replace (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\22a\22:")
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (memory.fill (i32.const 5) (i32.const 91) (i32.const 1000))
    (memory.fill (i32.const 1005) (i32.const 93) (i32.const 1000))
    (i32.store8 (i32.const 2005) (i32.const 125))
    (drop (call $event_replace (i32.const 0) (i32.const 2006)))
    (i32.const 1)))
