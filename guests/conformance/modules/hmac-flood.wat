;; manifest {"name":"hmac-flood","abi":"1.0","writes":["**"],"keys":["key"]}
;; Makes a pseudonym of a pseudonym for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (import "auditrelay_v1" "hmac_all" (func $hmac_all (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "object_idkey")
  (global $p (mut i32) (i32.const 0))
  (func (export "auditrelay_init") (result i32)
    (global.set $p (call $path (i32.const 0) (i32.const 9)))
    (i32.const 0))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l (drop (call $hmac_all (global.get $p) (i32.const 9) (i32.const 3))) (br $l))
    (i32.const 1)))
