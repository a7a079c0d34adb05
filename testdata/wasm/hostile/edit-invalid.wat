;; manifest {"name":"edit-invalid","abi":"1.0","writes":["**"],"emits":true}
;; Sets a value that is no JSON.
(module
  (import "auditrelay_v1" "set_json" (func $f (param i32 i32 i32) (result i32)))
  (import "auditrelay_v1" "find" (func $find (param i32) (result i32)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (global $p (mut i32) (i32.const 0))
  (data (i32.const 0) "action")
  (data (i32.const 16) "nope")
  (func (export "auditrelay_init") (result i32)
    (global.set $p (call $path (i32.const 0) (i32.const 6)))
    i32.const 0)
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (drop (call $f (call $find (global.get $p)) (i32.const 16) (i32.const 4)))
    i32.const 1))
