package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// system is one of the compared systems: a program, its configuration, and its input.
type system struct {
	name    string
	program string
	args    []string
	events  string // URL
	ready   string // URL that answers 200
	account string // URL of an account; ours only
	file    string // its second sink

	cmd *exec.Cmd
	cpu time.Duration // of ended processes
	log bytes.Buffer
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// relay returns auditrelay with the preset for LiteLLM's events and both sinks.
func relay(program, dir, hook string) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: "auditrelay", program: program, events: "http://" + address + "/v1/events", ready: "http://" + address + "/readyz",
		account: "http://" + address + "/v1/callbacks/", file: filepath.Join(dir, "out", "audit.ndjson")}
	config := filepath.Join(dir, "auditrelay.yaml")
	s.args = []string{"serve", "--config", config, "--listen", address}
	return s, os.WriteFile(config, fmt.Appendf(nil, `
data_dir: %[1]s/data
journal: {reserve: 0}
filters: {no-secrets: {redact: {preset: litellm}}}
callbacks:
  - name: hook
    filters: [no-secrets]
    backoff: {initial: 50ms, max: 1s}
    chunk: {age: 100ms}
    sink: {webhook: {url: %[2]q, body: array, max_events: 50, http: {allow_networks: [loopback], proxy: none}}}
  - {name: local, filters: [no-secrets], chunk: {age: 100ms}, sink: {file: {path: %[3]q}}}
`, dir, hook, s.file), 0o600)
}

// mask is a typical policy for Benthos: a list of keys, also inside texts with JSON.
var mask = `
map mask {
  root = match {
    this.type() == "object" => this.map_each(item -> if ["password","passwd","secret","token","access_token","api_key","apikey","client_secret","private_key","credentials","authorization"].contains(item.key.lowercase()) { "***" } else { item.value.apply("mask") })
    this.type() == "array" => this.map_each(item -> item.apply("mask"))
    this.type() == "string" && (this.has_prefix("{") || this.has_prefix("[")) => this.parse_json().apply("mask").format_json(no_indent: true).string().catch(this)
    _ => this
  }
}
root = this.apply("mask")`

// benthos returns the peer with the same two sinks. buffer is placed between its input and
// them.
func benthos(program, dir, hook, buffer string) (*system, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	s := &system{name: "Benthos v4.50.0, buffer " + buffer, program: program, events: "http://" + address + "/post",
		ready: "http://" + address + "/ready", file: filepath.Join(dir, "audit.ndjson")}
	config := filepath.Join(dir, "benthos.yaml")
	s.args = []string{"run", config}
	more := ""
	if buffer != "none" {
		more = fmt.Sprintf("buffer: {%s: {}}\n", buffer)
	}
	return s, os.WriteFile(config, fmt.Appendf(nil, `
http: {enabled: true, address: %[1]q}
logger: {level: ERROR}
input: {http_server: {path: /post, timeout: 5s}}
%[2]spipeline:
  processors:
    - mapping: |%[3]s
output:
  broker:
    pattern: fan_out
    outputs:
      - http_client:
          url: %[4]q
          verb: POST
          headers: {Content-Type: application/json}
          max_in_flight: 4
          batch_as_multipart: false
          batching: {count: 50, period: 100ms, processors: [{archive: {format: json_array}}]}
      - file: {path: %[5]q, codec: lines}
`, address, more, strings.ReplaceAll(mask, "\n", "\n        "), hook, s.file), 0o600)
}

func (s *system) start() error {
	s.cmd = exec.Command(s.program, s.args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := s.cmd.Start(); err != nil {
		return err
	}
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if answer, err := http.Get(s.ready); err == nil {
			answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return nil
			}
		}
	}
	return fmt.Errorf("%s does not start: %.2000s", s.name, s.log.String())
}

// kill is kill -9.
func (s *system) kill() { s.end(syscall.SIGKILL) }

// stop ends it in an orderly way.
func (s *system) stop() { s.end(syscall.SIGTERM) }

func (s *system) end(signal syscall.Signal) {
	_ = s.cmd.Process.Signal(signal)
	ended := make(chan struct{})
	go func() { _ = s.cmd.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(30 * time.Second):
		_ = s.cmd.Process.Kill()
		<-ended
	}
	s.cpu += s.cmd.ProcessState.UserTime() + s.cmd.ProcessState.SystemTime()
}

// setAside returns the number of dead letters of a callback.
func (s *system) setAside(callback string) int {
	if s.account == "" {
		return 0
	}
	answer, err := http.Get(s.account + callback)
	if err != nil {
		return 0
	}
	defer answer.Body.Close()
	var status struct {
		Account struct {
			DeadLettered int `json:"dead_lettered"`
		} `json:"account"`
	}
	_ = json.NewDecoder(answer.Body).Decode(&status)
	return status.Account.DeadLettered
}
