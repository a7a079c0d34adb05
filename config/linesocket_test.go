package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
)

func TestLineSockets(t *testing.T) {
	c, err := Parse("a.yaml", []byte("ingest:\n  sockets:\n"+
		"    vault: {listen: 'unix:vault.sock', mode: '0666'}\n"+
		"    other: {listen: 'localhost:9091', schema: vault, namespace: other, connections: 3, rate: {events: 7}}\n"+
		"callbacks: []\n"), LoadOptions{Dir: "/etc/relay"})
	if err != nil {
		t.Fatal(err)
	}
	vault, other := &c.Ingest.Sockets[0], &c.Ingest.Sockets[1]
	if vault.Path() != filepath.Join("/etc/relay", "vault.sock") || vault.Schema != "vault" || vault.Connections != 16 || vault.FileMode() != 0o666 || vault.Principal() != "socket:vault" {
		t.Errorf("%+v", vault)
	}
	if other.Path() != "" || other.Listen != "localhost:9091" || other.Schema != "vault" || other.Namespace != "other" || other.Connections != 3 || other.Rate.Events != 7 || other.FileMode() != 0o600 {
		t.Errorf("%+v", other)
	}
	var told strings.Builder
	for _, w := range c.Notes {
		told.WriteString(fmt.Sprint(w) + "\n")
	}
	for _, want := range []string{"a.yaml 3 ", "ingest.sockets.vault.mode: every user", "a.yaml 4 ", "ingest.sockets.other.listen: every process"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("no warning %q in %s", want, told.String())
		}
	}
}

// No callback may deliver to a socket's own address: the data would come in again.
func TestNothingIsDeliveredToALineSocket(t *testing.T) {
	_, err := Parse("a.yaml", []byte("ingest: {sockets: {vault: {listen: '127.0.0.1:9090'}}}\n"+
		"callbacks: [{name: a, sink: {s3: {bucket: b, endpoint: 'http://localhost:9090'}}}]\n"), LoadOptions{})
	if err == nil || !strings.Contains(err.Error(), "it is this relay's own listener (ingest.sockets.vault.listen, 127.0.0.1:9090)") {
		t.Error(err)
	}
}
