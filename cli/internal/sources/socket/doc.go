// Package socket is the input for producers that write one JSON object a line to a stream and
// read no response, such as HashiCorp Vault's audit device socket.
//
// While the relay cannot accept events, it reads nothing, so the producer's writes wait. Data
// that the producer wrote and the relay has not read is only in the kernel. It is lost if the
// relay is killed.
package socket
