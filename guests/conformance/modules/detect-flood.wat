;; manifest {"name":"detect-flood","abi":"1.0","writes":["**"],"emits":true}
;; Looks for secrets in a long text full of addresses, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (import "auditrelay_v1" "detector" (func $detector (param i32 i32) (result i32)))
  (import "auditrelay_v1" "find" (func $find (param i32) (result i32)))
  (import "auditrelay_v1" "set_string" (func $set_string (param i32 i32 i32) (result i32)))
  (import "auditrelay_v1" "detects" (func $detects (param i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "table_name")
  (data (i32.const 100) "secrets, pii")
  (data (i32.const 1000) "http://a@b/?a=")
  (global $p (mut i32) (i32.const 0))
  (global $r (mut i32) (i32.const 0))
  (func (export "auditrelay_init") (result i32)
    (call $double (i32.const 14))
    (global.set $p (call $path (i32.const 0) (i32.const 10)))
    (global.set $r (call $detector (i32.const 100) (i32.const 12)))
    (i32.const 0))
  ;; Repeats the text of n bytes at 1000 up to 64 KiB.
  (func $double (param $n i32)
    (loop $l
      (memory.copy (i32.add (i32.const 1000) (local.get $n)) (i32.const 1000) (local.get $n))
      (br_if $l (i32.lt_u (local.tee $n (i32.shl (local.get $n) (i32.const 1))) (i32.const 30000)))))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (drop (call $set_string (call $find (global.get $p)) (i32.const 1000) (i32.const 10000)))
    (loop $l (drop (call $detects (call $find (global.get $p)) (global.get $r))) (br $l))
    (i32.const 1)))
