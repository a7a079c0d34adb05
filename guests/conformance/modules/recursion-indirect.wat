;; Calls itself by a table.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (type $v (func))
  (table 1 funcref)
  (elem (i32.const 0) $f)
  (func $f (call_indirect (type $v) (i32.const 0)))
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (call $f)
    (i32.const 1)))
