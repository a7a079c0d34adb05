;; Asks for elements of elements for ever.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "query" (func $query (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "*.#(#(a==1)#)#.#(a==1)#.a")
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l (drop (call $query (i32.const 0) (i32.const 25) (i32.const 1000) (i32.const 1000))) (br $l))
    (i32.const 1)))
