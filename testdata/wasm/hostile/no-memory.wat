;; Exports no memory.
(module
  (func (export "auditrelay_event") (result i32) i32.const 1))
