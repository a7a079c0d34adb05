;; manifest {"name":"replace-surrogate","abi":"1.0","writes":["**"],"emits":true}
;; Replaces the event by a lone surrogate.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "event_replace" (func $event_replace (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "{\22a\22:\22\5cud800\22}")
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (drop (call $event_replace (i32.const 0) (i32.const 14)))
    (i32.const 1)))
