package kafka

import (
	"errors"
	"fmt"
	"io"
	"time"

	"auditrelay/builtin/kafka/brokers"
	"auditrelay/cli/internal/api"

	"github.com/twmb/franz-go/pkg/kerr"
)

// The states of reading.
const (
	stateConnecting   = "connecting"
	stateFollowing    = "following"    // reads messages as they arrive
	stateWaiting      = "waiting"      // the relay does not accept events now
	stateDisconnected = "disconnected" // the brokers are unreachable or reject the relay
)

func states() []string {
	return []string{stateConnecting, stateFollowing, stateWaiting, stateDisconnected}
}

// status returns the progress of one topic, or nil if it is not read.
func (r *reader) status(name string) *api.Topic {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := r.topics[name]
	if t == nil {
		return nil
	}
	out := &api.Topic{Group: r.config.Group, State: r.state, Since: r.since.UTC(), Error: r.trouble, Partitions: len(t.parts), Deleted: t.deleted}
	if t.trouble != "" {
		out.State, out.Error = stateDisconnected, t.trouble
	}
	for _, p := range t.parts {
		if p.end > p.next && p.next >= 0 {
			out.Lag += uint64(p.end - p.next)
		}
	}
	return out
}

// set changes the state, and reports whether it differed.
func (r *reader) set(state, trouble string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.trouble = trouble
	if r.state == state {
		return false
	}
	r.state, r.since = state, time.Now()
	return true
}

// told records the fault of one topic, or nil if there is none. It logs a fault once.
func (r *reader) told(name string, err error) {
	trouble := ""
	if err != nil {
		err = r.explain(fmt.Errorf("topic %s: %w", name, err))
		trouble = err.Error()
	}
	r.mu.Lock()
	before := r.topics[name].trouble
	r.topics[name].trouble = trouble
	r.mu.Unlock()
	switch {
	case trouble != "" && before != trouble:
		r.source.host.Logger.Error("a topic cannot be read; the relay retries from the same offset", "topic", name, "group", r.config.Group, "error", err)
	case trouble == "" && before != "":
		r.source.host.Logger.Info("a topic can be read again", "topic", name, "group", r.config.Group)
	}
}

// troubled reports whether a topic cannot be read.
func (r *reader) troubled() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.topics {
		if t.trouble != "" {
			return true
		}
	}
	return false
}

func (r *reader) reading() {
	if r.set(stateFollowing, "") {
		r.source.host.Logger.Info("reading topics", "group", r.config.Group)
	}
}

func (r *reader) waiting(err error) {
	if r.set(stateWaiting, err.Error()) {
		r.source.host.Logger.Warn("the relay accepts nothing now: topics wait, and nothing is skipped", "group", r.config.Group, "error", err)
	}
}

func (r *reader) failed(err error) {
	err = r.explain(err)
	if r.set(stateDisconnected, err.Error()) {
		r.source.host.Logger.Error("topics cannot be read; the relay retries from the same offsets", "group", r.config.Group, "error", err)
	}
}

// explain adds a suggestion for the operator.
func (r *reader) explain(err error) error {
	hint := ""
	switch {
	case err == nil:
		return errors.New("the session ended")
	case brokers.Inside(err):
		hint = "a broker's address is internal: add its network to allow_networks"
	case brokers.Untrusted(err):
		hint = "see tls.ca"
	case errors.Is(err, kerr.UnknownTopicOrPartition):
		hint = "the topic does not exist, or this user may not see it"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		hint = "the user needs READ and DESCRIBE on the topic"
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		hint = "the user needs READ on the group"
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		hint = "see sasl"
	case errors.Is(err, io.EOF):
		hint = "the broker closed the connection, as some do for a wrong password, and where one side speaks TLS and the other does not: see sasl and plaintext"
	}
	if hint == "" {
		return fmt.Errorf("read from %s: %w", r.config.Brokers[0], err)
	}
	return fmt.Errorf("read from %s: %w (%s)", r.config.Brokers[0], err, hint)
}
