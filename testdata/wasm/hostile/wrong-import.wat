;; Imports find with a wrong type.
(module
  (import "auditrelay_v1" "find" (func (param i32 i64) (result i32)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    i32.const 1))
