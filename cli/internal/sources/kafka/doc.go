// Package kafka reads topics of Apache Kafka, or of a service with its protocol. Each message
// is one event.
//
// The source is one consumer group. It commits the offset of a message once its event is
// durable or in quarantine. After a crash it reads uncommitted messages again, and the relay
// recognises them by id.
//
// Source of the protocol: Apache Kafka's "Protocol" and "Consumer configs".
package kafka
