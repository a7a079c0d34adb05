// Package socket is the input for producers that write a JSON object a line to a stream and
// read no answer, as HashiCorp Vault's audit device socket does.
//
// Nothing is read while the relay cannot accept: the producer's writes wait. What the
// producer wrote and the relay has not read is in the kernel alone, and lost if the relay
// is killed.
package socket
