;; manifest {"name":"optional-import","abi":"1.0","optional":["future"]}
;; Imports what the ABI does not have, and can do without: keeps where the stub says -6 and has says 0.
(module
  (import "auditrelay_v1" "future" (func $f (param i32) (result i32)))
  (import "auditrelay_v1" "has" (func $has (param i32 i32) (result i32)))
  (data (i32.const 0) "future")
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (i32.add (i32.const 1)
      (i32.or (i32.ne (call $f (i32.const 0)) (i32.const -6)) (call $has (i32.const 0) (i32.const 6))))
))
