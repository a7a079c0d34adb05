// Package litellm contains the tests of auditrelay_logger.py, the logger class for LiteLLM. They
// run it under Python, with a stand-in for LiteLLM's base class, against the program built from
// this checkout.
package litellm
