// Package kafka reads topics of Apache Kafka, or of what speaks its protocol, whose messages
// are events.
//
// It is one consumer group. The offsets of messages are committed once their events are
// durable, or in quarantine: what a relay read and had not made durable when it was killed
// is read again, and known by its id. A message is one event.
//
// Source of the protocol: Apache Kafka's "Protocol" and "Consumer configs".
package kafka
