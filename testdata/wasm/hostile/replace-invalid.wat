;; manifest {"name":"replace-invalid","abi":"1.0","writes":["**"],"emits":true}
;; Replaces the event by what is no JSON object.
(module
  (import "auditrelay_v1" "event_replace" (func $f (param i32 i32) (result i32)))
  (data (i32.const 0) "{\22a\22:1")
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (drop (call $f (i32.const 0) (i32.const 7)))
    i32.const 1))
