package redact_test

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// processorTime is what this thread has taken: a busy machine does not change it.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	const thread = 1
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Nor do many tables and command lines take more than linear time.
func TestManyTablesAndArguments(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	r, inspector := open(t, policy(t, `{preset: litellm}`)), secretsGate(t)
	for name, unit := range map[string]string{
		"rows":                 `{"columns":["user","password"],"rows":[["bob","x"]]}`,
		"headers in rows":      `[["user","password"],["bob","x"]]`,
		"arguments":            `{"args":["mysql","-u","root"]}`,
		"arguments within":     `{"args":["mysql",["mysql",{"args":["mysql","-pab1cdefg"]}],"-pab1cdefg"]}`,
		"lines of keys":        `["-----BEGIN PRIVATE KEY-----","MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"]`,
		"parts of private JWK": `"\"kty\" \"d\":\"abcdefgh\" \"d\":\"abcdefgh\""`,
	} {
		took := func(n int) time.Duration {
			event := []byte(`{"updated_values":[` + strings.Repeat(unit+",", n) + `1]}`)
			begin := processorTime(t)
			out, _ := r.apply(t, event)
			inspector.Forget()
			_ = inspector.Document(out)
			return processorTime(t) - begin
		}
		// A tick of the kernel's account is up to 10 ms.
		if one, more := took(1000), took(16_000); more > 48*one+200*time.Millisecond {
			t.Errorf("%s: %v for sixteen times what took %v", name, more, one)
		}
	}
}
