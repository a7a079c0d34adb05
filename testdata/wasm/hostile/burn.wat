;; Uses most of the default budget on every event, and keeps it.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (local $n i32)
    (local.set $n (i32.const 400000))
    (loop $l
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $l (local.get $n)))
    i32.const 1))
