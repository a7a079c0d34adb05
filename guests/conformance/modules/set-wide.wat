;; manifest {"name":"set-wide","abi":"1.0","writes":["**"]}
;; Sets an object of 60,000 keys again and again.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "path" (func $path (param i32 i32) (result i32)))
  (import "auditrelay_v1" "set_json_all" (func $set_json_all (param i32 i32 i32) (result i32)))
  (memory (export "memory") 64)
  (data (i32.const 0) "object_id")
  (global $p (mut i32) (i32.const 0))
  (func (export "auditrelay_init") (result i32)
    (global.set $p (call $path (i32.const 0) (i32.const 9)))
    (i32.const 0))
  ;; Writes {"aaaaaa":1,"aaaaab":1,...,"":1} with n keys at 1000, and returns its length.
  (func $wide (param $n i32) (result i32)
    (local $at i32) (local $i i32) (local $v i32)
    (i32.store8 (i32.const 1000) (i32.const 0x7b))
    (local.set $at (i32.const 1001))
    (loop $l
      (i32.store8 (local.get $at) (i32.const 0x22))
      (local.set $v (local.get $n))
      (local.set $i (i32.const 6))
      (loop $d
        (i32.store8 (i32.add (local.get $at) (local.get $i)) (i32.add (i32.const 97) (i32.and (local.get $v) (i32.const 15))))
        (local.set $v (i32.shr_u (local.get $v) (i32.const 4)))
        (br_if $d (local.tee $i (i32.sub (local.get $i) (i32.const 1)))))
      (i32.store (i32.add (local.get $at) (i32.const 7)) (i32.const 0x2c313a22)) ;; ":1,
      (local.set $at (i32.add (local.get $at) (i32.const 11)))
      (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
    (i64.store (local.get $at) (i64.const 0x7d313a2222)) ;; "":1}
    (i32.sub (local.get $at) (i32.const 995)))
  (func (export "auditrelay_event") (result i32)
    (local $n i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (local.set $n (call $wide (i32.const 60000)))
    (loop $l (drop (call $set_json_all (global.get $p) (i32.const 1000) (local.get $n))) (br $l))
    (i32.const 1)))
