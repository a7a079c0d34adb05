package auditrelay_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"auditrelay"
)

func TestByteSize(t *testing.T) {
	for _, c := range []struct {
		text string
		want auditrelay.ByteSize // -1: refused
	}{
		{"0", 0}, {"512", 512}, {"512B", 512}, {"1KiB", 1024}, {"16MiB", 16 << 20}, {"2GiB", 2 << 30}, {"1TiB", 1 << 40},
		{"1KB", 1000}, {"5MB", 5e6}, {" 3 MiB ", 3 << 20},
		{"", -1}, {"MiB", -1}, {"-1", -1}, {"1.5MiB", -1}, {"1mib", -1}, {"9999999TiB", -1}, {"12 apples", -1},
	} {
		var got auditrelay.ByteSize
		err := got.UnmarshalText([]byte(c.text))
		switch {
		case c.want < 0 && err == nil:
			t.Errorf("%q was taken as %d", c.text, got)
		case c.want >= 0 && (err != nil || got != c.want):
			t.Errorf("%q: got %d, %v, want %d", c.text, got, err, c.want)
		case c.want >= 0:
			var back auditrelay.ByteSize
			if err := back.UnmarshalText([]byte(got.String())); err != nil || back != got {
				t.Errorf("%d prints as %q, which reads as %d, %v", got, got, back, err)
			}
		}
	}
}

// TestSecretNeverShows prints a secret in every way that code does by accident.
func TestSecretNeverShows(t *testing.T) {
	s := auditrelay.Secret("hunter2")
	inside := struct{ Key auditrelay.Secret }{s}
	marshaled, err := json.Marshal(inside)
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "key", s, "all", inside)
	for _, text := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %s %q", s, inside, inside, s, s), string(marshaled), log.String()} {
		if strings.Contains(text, "hunter2") {
			t.Errorf("the secret shows: %s", text)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Error("Reveal does not give the value")
	}
}

func TestErrorsAreTransientUnlessSaid(t *testing.T) {
	plain := errors.New("connection reset")
	if k := auditrelay.KindOf(plain); k != auditrelay.Transient {
		t.Errorf("an unclassified error is %s", k)
	}
	wrapped := fmt.Errorf("put: %w", &auditrelay.DeliveryError{Kind: auditrelay.Throttled, RetryAfter: 3 * time.Second, Err: plain})
	if k, after := auditrelay.KindOf(wrapped), auditrelay.RetryAfter(wrapped); k != auditrelay.Throttled || after != 3*time.Second {
		t.Errorf("got %s after %s", k, after)
	}
	if !errors.Is(wrapped, plain) {
		t.Error("the cause is lost")
	}
}
