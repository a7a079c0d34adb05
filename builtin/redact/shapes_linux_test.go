package redact_test

import (
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"
)

// processorTime returns the time used by this thread, which does not depend on the machine's
// load.
func processorTime(t *testing.T) time.Duration {
	t.Helper()
	const thread = 1
	var u syscall.Rusage
	if err := syscall.Getrusage(thread, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Many tables and command lines also take linear time.
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
		// The kernel's accounting has ticks of up to 10 ms.
		if one, more := took(1000), took(16_000); more > 48*one+200*time.Millisecond {
			t.Errorf("%s: %v for sixteen times what took %v", name, more, one)
		}
	}
}
