;; Traps where its data segment has been dropped before.
(module
  (memory (export "memory") 1)
  (data $d "once")
  (func (export "auditrelay_event") (result i32)
    (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4))
    (data.drop $d)
    (i32.const 1)))
