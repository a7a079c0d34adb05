;; Ends itself through WASI.
(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $f (param i32)))
  (memory (export "memory") 1)
  (func (export "auditrelay_event") (result i32)
    (call $f (i32.const 7))
    i32.const 1))
