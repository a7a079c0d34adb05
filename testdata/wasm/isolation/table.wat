;; The same by an entry of a table.
(module
  (memory (export "memory") 1)
  (table $t 2 funcref)
  (elem declare func $f)
  (func $f)
  (func (export "auditrelay_event") (result i32)
    (local $fresh i32)
    (local.set $fresh (ref.is_null (table.get $t (i32.const 1))))
    (table.set $t (i32.const 1) (ref.func $f))
    (select (i32.const 1) (i32.const 2) (local.get $fresh))))
