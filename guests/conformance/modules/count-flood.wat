;; manifest {"name":"count-flood","abi":"1.0","metrics":["metric"]}
;; Counts four thousand million, over and over.
(module
  (import "auditrelay_v1" "sequence" (func $sequence (result i64)))
  (import "auditrelay_v1" "count" (func $count (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "metric")
  (func (export "auditrelay_event") (result i32)
    ;; An event with an even sequence is an innocent one.
    (if (i64.eqz (i64.and (call $sequence) (i64.const 1))) (then (return (i32.const 1))))
    (loop $l (drop (call $count (i32.const 0) (i32.const 6) (i32.const -1))) (br $l))
    (i32.const 1)))
