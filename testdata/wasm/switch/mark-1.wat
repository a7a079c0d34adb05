;; manifest {"name":"mark-1","abi":"1.0","writes":["first","second"]}
;; Marks each event twice, with a 1, so that a half-filtered one shows.
(module
  (import "auditrelay_v1" "put" (func $put (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "firstsecond1")
  (func (export "auditrelay_event") (result i32)
    (drop (call $put (i32.const 0) (i32.const 0) (i32.const 5) (i32.const 11) (i32.const 1)))
    (drop (call $put (i32.const 0) (i32.const 5) (i32.const 6) (i32.const 11) (i32.const 1)))
    (i32.const 1)))
