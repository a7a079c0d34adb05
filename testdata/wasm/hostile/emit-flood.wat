;; manifest {"name":"emit-flood","abi":"1.0","writes":["**"],"emits":true}
;; Emits without end.
(module
  (import "auditrelay_v1" "emit" (func $f (param i32 i32 i32 i32) (result i32)))
  (data (i32.const 0) "alerts")
  (data (i32.const 8) "{}")
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (loop $l (drop (call $f (i32.const 0) (i32.const 6) (i32.const 8) (i32.const 2))) (br $l))
    i32.const 1))
