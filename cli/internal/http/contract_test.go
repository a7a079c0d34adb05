package http

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/sourcetest"
	"auditrelay/config"
	"auditrelay/runtime"
)

func TestTheServerIsASource(t *testing.T) {
	const token = "7f3a91c04be2d586"
	configured := "ingest: {tokens: [{name: litellm, token: " + token + "}]}\n"
	sourcetest.Run(t, sourcetest.Subject{
		New: func(t *testing.T, host *sources.Host, rt *runtime.Runtime) sources.Source {
			cfg, err := config.Parse("relay.yaml", []byte("listen: 127.0.0.1:0\ncallbacks: []\n"), config.LoadOptions{})
			if err != nil {
				t.Fatal(err)
			}
			l, err := Listen(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = l.Close() })
			s, err := New(Options{Runtime: rt, Config: cfg, Listener: l, Logger: host.Logger})
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		Configured: configured,
		Without:    "tokens: [{name: other, token: 91c04be2d5867f3a, roles: [view]}]\n",
		Bad:        configured + "tls: {cert: source.go, key: source.go}\n", // files, but no certificate
		Sender:     "litellm",
		Send: func(t *testing.T, source sources.Source, id string) error {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+source.(*Server).Address()+"/v1/events", strings.NewReader(event(id)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer "+token)
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("answered %s", resp.Status)
			}
			return nil
		},
	})
}
