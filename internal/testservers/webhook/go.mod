// A receiver that verifies with Standard Webhooks' own library, in a module of its own so
// that users do not inherit the dependency. See builtin/webhook's tests.
module auditrelay/internal/testservers/webhook

go 1.26.0

require github.com/standard-webhooks/standard-webhooks/libraries v0.0.1
