;; manifest {"name":"find-wide","abi":"1.0","writes":["**"],"emits":true}
;; Looks at any depth of a wide event for what is not there, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "event_replace" (func $event_replace (param i32 i32) (result i32)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (import "auditrelay_v1" "find" (func $find (param i32) (result i32)))
  (memory (export "memory") 8)
  (data (i32.const 0) "**.a.**.b.**.c")
  (global $p (mut i32) (i32.const 0))
  (func (export "auditrelay_init") (result i32)
    (global.set $p (call $path (i32.const 0) (i32.const 14)))
    (i32.const 0))
  ;; Writes {"a":[{},{},...,1]} with n elements at 1000, and returns its length.
  (func $wide (param $n i32) (result i32)
    (local $at i32)
    (i64.store (i32.const 1000) (i64.const 0x5b3a2261227b)) ;; {"a":[
    (local.set $at (i32.const 1006))
    (loop $l
      (i32.store (local.get $at) (i32.const 0x2c7d7b)) ;; {},
      (local.set $at (i32.add (local.get $at) (i32.const 3)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.store (local.get $at) (i32.const 0x7d5d31)) ;; 1]}
    (i32.sub (local.get $at) (i32.const 997)))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (drop (call $event_replace (i32.const 1000) (call $wide (i32.const 60000))))
    (loop $l (drop (call $find (global.get $p))) (br $l))
    (i32.const 1)))
