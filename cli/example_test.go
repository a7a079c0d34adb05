package cli_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"auditrelay"
	"auditrelay/cli"
	"auditrelay/config"
)

// shout is a custom sink: it writes one line for each record.
type shout struct {
	Prefix string `yaml:"prefix"`
}

func newShout(section config.Section) (auditrelay.Sink, error) {
	var s shout
	if err := section.Decode(&s); err != nil {
		return nil, err
	}
	if s.Prefix == "" {
		return nil, &auditrelay.OptionError{Path: "prefix", Err: errors.New("it is required")}
	}
	return s, nil
}

func (s shout) Render(chunk auditrelay.Chunk) ([]auditrelay.Payload, error) {
	var payloads []auditrelay.Payload
	for _, r := range chunk.Records {
		payloads = append(payloads, auditrelay.Payload{
			Key: fmt.Sprint(r.Sequence), Body: r.Data, Sequences: []uint64{r.Sequence},
		})
	}
	return payloads, nil
}

func (s shout) Deliver(_ context.Context, p auditrelay.Payload) (auditrelay.Receipt, error) {
	_, err := fmt.Printf("%s %s\n", s.Prefix, p.Body)
	return auditrelay.Receipt{}, err
}

// A program of a few lines is auditrelay with one sink more, reachable from
// YAML:
//
//	func main() {
//		os.Exit(cli.Main(os.Args[1:], cli.Options{
//			Sinks: map[string]cli.SinkMaker{"shout": newShout},
//		}))
//	}
func Example() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "auditrelay.yaml")
	text := "callbacks: [{name: desk, sink: {shout: {prefix: HEAR}}}]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		fmt.Println(err)
		return
	}
	code := cli.Main([]string{"validate", "--json", file}, cli.Options{
		Sinks:  map[string]cli.SinkMaker{"shout": newShout},
		Stdout: io.Discard,
	})
	fmt.Println("exit code", code)

	// Output: exit code 0
}
