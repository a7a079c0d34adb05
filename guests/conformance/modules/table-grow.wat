;; Grows a table by millions, which is refused.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (table 1 funcref)
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (drop (table.grow 0 (ref.null func) (i32.const 50000000)))
    (drop (table.grow 0 (ref.null func) (i32.const -1)))
    (i32.const 1)))
