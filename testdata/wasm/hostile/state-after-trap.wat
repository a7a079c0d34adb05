;; Remembers in its memory that it was called: the first event is kept, the second traps; a third would be dropped.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $n i32)
    (local.set $n (i32.load (i32.const 0)))
    (i32.store (i32.const 0) (i32.add (local.get $n) (i32.const 1)))
    (if (i32.eqz (local.get $n)) (then (return (i32.const 1))))
    (if (i32.eq (local.get $n) (i32.const 1)) (then (unreachable)))
    i32.const 2))
