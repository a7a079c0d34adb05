;; Imports emit, has no manifest.
(module
  (import "auditrelay_v1" "emit" (func (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    i32.const 1))
