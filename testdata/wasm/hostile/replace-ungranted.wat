;; manifest {"name":"replace-ungranted","abi":"1.0","writes":["updated_values"],"emits":true}
;; Replaces the event by {}, may write updated_values only.
(module
  (import "auditrelay_v1" "event_replace" (func $f (param i32 i32) (result i32)))
  (data (i32.const 0) "{}")
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (drop (call $f (i32.const 0) (i32.const 2)))
    i32.const 1))
