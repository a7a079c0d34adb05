;; Keeps every event: the least guest there is.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    i32.const 1))
