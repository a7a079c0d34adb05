package app

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"auditrelay/config"
)

// TestAFleetNeedsAnAddress: the command line could remove it.
func TestAFleetNeedsAnAddress(t *testing.T) {
	cfg := &config.Config{Listen: config.NoAddress, Socket: config.Socket{Path: filepath.Join(t.TempDir(), "s")}}
	cfg.Journal.Postgres.Fleet.Address = "http://127.0.0.1:1"
	d := &daemon{fleet: &fleet{}, cfg: cfg}
	if _, _, err := d.listen(t.Context()); err == nil || !strings.Contains(err.Error(), "a fleet needs an address") {
		t.Error(err)
	}
}

// TestASocketAloneThatCannotBeOpened: this is an error, as it is beside a port.
func TestASocketAloneThatCannotBeOpened(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, listen := range []string{config.NoAddress, "127.0.0.1:0"} {
		d := &daemon{fleet: &fleet{}, cfg: &config.Config{Listen: listen, Socket: config.Socket{Path: path}}}
		if _, _, err := d.listen(t.Context()); err == nil || !strings.Contains(err.Error(), "another process answers") {
			t.Errorf("listen %s: %v", listen, err)
		}
	}
}
