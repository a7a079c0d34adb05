;; manifest {"name":"edit-large","abi":"1.0","writes":["**"]}
;; Gives one member four values of 900 KB.
(module
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (import "auditrelay_v1" "find" (func $find (param i32) (result i32)))
  (import "auditrelay_v1" "set_string" (func $set_string (param i32 i32 i32) (result i32)))
  (memory (export "memory") 16)
  (data (i32.const 0) "table_name")
  (global $p (mut i32) (i32.const 0))
  (func (export "auditrelay_init") (result i32)
    (memory.fill (i32.const 1000) (i32.const 120) (i32.const 900000))
    (global.set $p (call $path (i32.const 0) (i32.const 10)))
    (i32.const 0))
  (func (export "auditrelay_event") (result i32)
    (drop (call $set_string (call $find (global.get $p)) (i32.const 1000) (i32.const 900000)))
    (drop (call $set_string (call $find (global.get $p)) (i32.const 1000) (i32.const 900000)))
    (drop (call $set_string (call $find (global.get $p)) (i32.const 1000) (i32.const 900000)))
    (drop (call $set_string (call $find (global.get $p)) (i32.const 1000) (i32.const 900000)))
    (i32.const 1)))
