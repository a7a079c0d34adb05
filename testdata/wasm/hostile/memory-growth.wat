;; Grows its memory until it may not, then gives up.
(module
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (loop $l (br_if $l (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0))))
    unreachable))
