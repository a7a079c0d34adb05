// Package litellm holds the tests of the logger class for LiteLLM, which is
// auditrelay_logger.py: they run it under Python, with a stand-in for LiteLLM's
// base class, against the program as it is built from this checkout.
package litellm
