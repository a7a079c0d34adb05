package splunk

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"
)

// waitsFor returns the acknowledgement that a payload still awaits from an earlier attempt. An
// attempt that timed out must not send the events again.
func (s *Sink) waitsFor(key string) (acknowledgement, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.waiting[key]
	if ok && !a.indexed && s.now().Sub(a.since) > s.options.AckTimeout {
		delete(s.waiting, key)
		return acknowledgement{}, false
	}
	return a, ok
}

func (s *Sink) wait(key, channel string, id int64) acknowledgement {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := acknowledgement{channel: channel, id: id, since: s.now()}
	s.waiting[key] = a
	return a
}

// indexedNow ends the wait of an indexed payload. Nothing is outstanding on its channel any
// more.
func (s *Sink) indexedNow(key string, a acknowledgement) {
	s.forget(key)
	s.giveChannel(a.channel)
}

func (s *Sink) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, key)
}

// takeChannel returns a channel with nothing outstanding. A restarted collector, or another one
// behind a load balancer, numbers the acknowledgements of a channel from the start again. Two
// payloads on one channel could then wait for the same number, and a lost one would take the
// acknowledgement of the other.
func (s *Sink) takeChannel() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	last := len(s.channels) - 1
	if last < 0 {
		return newChannel()
	}
	channel := s.channels[last]
	s.channels = s.channels[:last]
	return channel
}

// giveChannel keeps a channel for the next payload, so that collectors hold few channels.
func (s *Sink) giveChannel(channel string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.channels = append(s.channels, channel)
}

// acknowledged polls until the events are indexed.
func (s *Sink) acknowledged(ctx context.Context, key string, a acknowledgement) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for pause := s.poll; ; pause = min(2*pause, 10*s.poll) {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.isIndexed(key) {
			s.indexedNow(key, a)
			return nil
		}
		if s.now().Sub(a.since) > s.options.AckTimeout {
			s.forget(key)
			return &auditrelay.DeliveryError{Reason: auditrelay.ReasonTimeout, Err: fmt.Errorf("post to %s: no acknowledgement within ack_timeout (%v): the events are sent again", s.client.Target(), s.options.AckTimeout)}
		}
		indexed, err := s.ask(ctx, key, a)
		if err != nil {
			return err
		}
		if indexed {
			s.indexedNow(key, a)
			return nil
		}
		timer.Reset(pause)
	}
}

// ask polls once. An indexer reports an acknowledgement only once. So ask waits for the answer
// even if the attempt ends before; the next attempt then finds it.
func (s *Sink) ask(ctx context.Context, key string, a acknowledgement) (indexed bool, err error) {
	type answer struct {
		indexed bool
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		indexed, err := s.indexed(context.WithoutCancel(ctx), a)
		if indexed {
			s.setIndexed(key)
		}
		answered <- answer{indexed, err}
	}()
	select {
	case got := <-answered:
		return got.indexed, got.err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

func (s *Sink) isIndexed(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waiting[key].indexed
}

func (s *Sink) setIndexed(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.waiting[key]; ok {
		a.indexed = true
		s.waiting[key] = a
	}
}

// indexed asks for one acknowledgement.
func (s *Sink) indexed(ctx context.Context, a acknowledgement) (bool, error) {
	body := []byte(`{"acks":[` + strconv.FormatInt(a.id, 10) + `]}`)
	answer, err := s.call(ctx, collector+"/ack", a.channel, body, map[string]string{httpsink.ContentType: "application/json"})
	if err != nil {
		return false, err
	}
	var r reply
	if err := json.Unmarshal(answer.Body, &r); err == nil && answer.Status == 200 && r.Acks != nil {
		return r.Acks[strconv.FormatInt(a.id, 10)], nil
	}
	if _, err := s.reply(answer); err != nil {
		return false, err
	}
	return false, s.client.Fail(auditrelay.Misconfigured, answer, "the answer to a poll for acknowledgements is invalid")
}

// Probe sends no event. If the token is valid, HEC answers an empty request with code 5.
func (s *Sink) Probe(ctx context.Context) error {
	answer, err := s.call(ctx, collector+"/event", s.channel, nil, map[string]string{httpsink.ContentType: "application/json"})
	if err != nil {
		return s.client.Failure(ctx, err)
	}
	var r reply
	if json.Unmarshal(answer.Body, &r) == nil && r.Code != nil && (*r.Code == 5 || codes[*r.Code].delivered) {
		return nil
	}
	_, err = s.reply(answer)
	return err
}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }

// quote encodes a string as JSON.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil { // a string always encodes
		return `""`
	}
	return string(b)
}
