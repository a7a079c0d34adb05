;; manifest {"name":"emit-wide","abi":"1.0","emits":true}
;; Emits records of 5,000 arrays each until that is too much.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "emit" (func $emit (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 0) "alerts")
  (func (export "auditrelay_event") (result i32)
    (local $at i32) (local $n i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (i64.store (i32.const 1000) (i64.const 0x5b3a2261227b)) ;; {"a":[
    (local.set $at (i32.const 1006))
    (local.set $n (i32.const 5000))
    (loop $l
      (i32.store (local.get $at) (i32.const 0x2c5d5b)) ;; [],
      (local.set $at (i32.add (local.get $at) (i32.const 3)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i32.store (local.get $at) (i32.const 0x7d5d31)) ;; 1]}
    (loop $l (drop (call $emit (i32.const 0) (i32.const 6) (i32.const 1000) (i32.sub (local.get $at) (i32.const 997)))) (br $l))
    (i32.const 1)))
