// An OpenTelemetry Collector with a Splunk HEC receiver, in a module of its own so that
// users do not inherit its dependencies. See builtin/splunk's tests.
module auditrelay/internal/testservers/collector

go 1.26.0
