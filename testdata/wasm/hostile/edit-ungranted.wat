;; manifest {"name":"edit-ungranted","abi":"1.0","writes":["updated_values"],"emits":true}
;; Masks the whole event, may write updated_values only.
(module
  (import "auditrelay_v1" "mask" (func $f (param i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (drop (call $f (i32.const 0)))
    i32.const 1))
