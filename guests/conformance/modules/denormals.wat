;; Multiplies denormal numbers for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (f64.store (i32.const 0) (f64.const 0x1p-1060))
    (loop $l
      (f64.store (i32.const 8) (f64.mul (f64.load (i32.const 0)) (f64.const 0x1.8p-1)))
      (f64.store (i32.const 8) (f64.mul (f64.load (i32.const 0)) (f64.const 0x1.4p-1)))
      (br $l))
    (i32.const 1)))
