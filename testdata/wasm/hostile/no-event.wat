;; Exports no auditrelay_event.
(module
  (memory (export "memory") 1))
