;; Drops and takes from a segment by turns, until that traps.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (data $d "0123456789")
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0))
    (loop $l (data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 0)) (br $l))
    (i32.const 1)))
