;; Writes 15 MB without a line feed to stdout, over and over.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 240)
  (data (i32.const 0) "\10\00\00\00\00\00\ee\00") ;; 16, 15,597,568 bytes
  (func (export "auditrelay_event") (result i32)
    (loop $again
      (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))
      (br $again))
    (i32.const 1)))
