;; Sleeps for years, over and over: the clock is a virtual one.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (i32.store (i32.const 16) (i32.const 1)) (i64.store (i32.const 24) (i64.const 0x0fffffffffffffff))
    (loop $l (drop (call $poll (i32.const 0) (i32.const 1024) (i32.const 1) (i32.const 2048))) (br $l))
    (i32.const 1)))
