;; manifest {"name":"edit-flood","abi":"1.0","writes":["**"],"emits":true}
;; Masks one value without end.
(module
  (import "auditrelay_v1" "mask" (func $mask (param i32) (result i32)))
  (import "auditrelay_v1" "find" (func $find (param i32) (result i32)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $p (mut i32) (i32.const 0))
  (data (i32.const 32) "action")
  (func (export "auditrelay_init") (result i32)
    (global.set $p (call $path (i32.const 32) (i32.const 6)))
    i32.const 0)
  (func (export "auditrelay_event") (result i32)
    (loop $l (drop (call $mask (call $find (global.get $p)))) (br $l))
    i32.const 1)
)
