;; Fills and copies nothing at the end of its memory, for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l (memory.fill (i32.const 65536) (i32.const 1) (i32.const 0)) (memory.copy (i32.const 65536) (i32.const 0) (i32.const 0)) (br $l))
    (i32.const 1)))
