package socket

import (
	"fmt"
	"net"
	"path/filepath"
	"testing"

	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/sourcetest"
	"auditrelay/runtime"
)

const plain = "schemas: {plain: {id: id, action: action}}"

func TestASocketIsASource(t *testing.T) {
	path := filepath.Join(shortDir(t), "s")
	sourcetest.Run(t, sourcetest.Subject{
		New:        func(_ *testing.T, host *sources.Host, _ *runtime.Runtime) sources.Source { return NewSource(host) },
		Configured: "ingest: {" + plain + ", sockets: {lines: {listen: 'unix:" + path + "', schema: plain, namespace: litellm}}}\n",
		Without:    "ingest: {}\n",
		Bad:        "ingest: {" + plain + ", sockets: {lines: {listen: 'unix:" + path + "/no/directory', schema: plain}}}\n",
		Sender:     "socket:lines",
		Silent:     true,
		Send: func(t *testing.T, _ sources.Source, id string) error {
			conn, err := net.Dial("unix", path)
			if err != nil {
				return err
			}
			defer conn.Close()
			_, err = fmt.Fprintf(conn, `{"id":%q,"action":"created"}`+"\n", id)
			return err
		},
	})
}
