"""A stand-in for LiteLLM: what the logger class needs of it, and no more."""
