;; The same by the memory's size, which nothing can take back.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $fresh i32)
    (local.set $fresh (i32.eq (memory.size) (i32.const 1)))
    (drop (memory.grow (i32.const 1)))
    (select (i32.const 1) (i32.const 2) (local.get $fresh))))
