;; The same by a v128 global, both halves of it.
(module
  (memory (export "memory") 1)
  (global $seen (mut v128) (v128.const i64x2 0 0))
  (func (export "auditrelay_event") (result i32)
    (local $fresh i32)
    (local.set $fresh (i32.eqz (v128.any_true (global.get $seen))))
    (global.set $seen (v128.const i64x2 0 1))
    (select (i32.const 1) (i32.const 2) (local.get $fresh))))
