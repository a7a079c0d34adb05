;; Its start function grows its memory until that is refused, and traps.
(module
  (memory (export "memory") 1)
  (func $s (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable))
  (start $s)
  (func (export "auditrelay_event") (result i32) (i32.const 1)))
