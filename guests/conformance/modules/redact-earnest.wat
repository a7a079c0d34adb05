;; manifest {"name":"redact-earnest","abi":"1.0","writes":["**"],"emits":true}
;; Redacts passwords, as somebody might in earnest, in a text that makes that quadratic.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (import "auditrelay_v1" "regex" (func $regex (param i32 i32) (result i32)))
  (import "auditrelay_v1" "find" (func $find (param i32) (result i32)))
  (import "auditrelay_v1" "set_string" (func $set_string (param i32 i32 i32) (result i32)))
  (import "auditrelay_v1" "redact_matches" (func $redact_matches (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "table_name")
  (data (i32.const 100) "password=.*;|password")
  (data (i32.const 1000) "password")
  (global $p (mut i32) (i32.const 0))
  (global $r (mut i32) (i32.const 0))
  (func (export "auditrelay_init") (result i32)
    (memory.copy (i32.const 1008) (i32.const 1000) (i32.const 8))
    (call $double (i32.const 16))
    (global.set $p (call $path (i32.const 0) (i32.const 10)))
    (global.set $r (call $regex (i32.const 100) (i32.const 21)))
    (i32.const 0))
  ;; Repeats the text of n bytes at 1000 up to 64 KiB.
  (func $double (param $n i32)
    (loop $l
      (memory.copy (i32.add (i32.const 1000) (local.get $n)) (i32.const 1000) (local.get $n))
      (br_if $l (i32.lt_u (local.tee $n (i32.shl (local.get $n) (i32.const 1))) (i32.const 60000)))))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (drop (call $set_string (call $find (global.get $p)) (i32.const 1000) (i32.const 60000)))
    (drop (call $redact_matches (call $find (global.get $p)) (global.get $r) (i32.const 1)))
    (i32.const 1)))
