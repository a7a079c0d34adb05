package api

// DiscardDeadLetters is the value of dead_letters with which DELETE /v1/keyring/{period}
// discards the dead letters of the period first.
const DiscardDeadLetters = "discard"
