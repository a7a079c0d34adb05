package httpsink

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"auditrelay"
)

// maxSecretBytes limits the size of a secret's file.
const maxSecretBytes = 64 << 10

// Secret is a value from the configuration, or the content of a file that is read again when it
// changes. It is safe for concurrent use.
type Secret struct {
	value auditrelay.Secret
	file  string

	mu      sync.Mutex
	stamp   stamp
	content string
}

// NewSecret returns the secret of the options name and name+"_file". Exactly one of them must
// be set.
func NewSecret(name string, value auditrelay.Secret, file string) (*Secret, error) {
	switch {
	case value == "" && file == "":
		return nil, &auditrelay.OptionError{Path: name, Err: fmt.Errorf("it is required, or %s_file", name)}
	case value != "" && file != "":
		return nil, &auditrelay.OptionError{Path: name, Err: fmt.Errorf("%s_file is set too: give one of the two", name)}
	}
	return &Secret{value: value, file: file}, nil
}

// Get returns the current secret. Its errors stall the callback.
func (s *Secret) Get() (string, error) {
	if s.file == "" {
		return s.value.Reveal(), nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at, err := stampOf(s.file)
	if err == nil && at == s.stamp {
		return s.content, nil
	}
	if err == nil {
		s.content, err = readSecret(s.file)
	}
	if err != nil {
		s.stamp = stamp{}
		return "", &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Reason: auditrelay.ReasonCredentials, Err: fmt.Errorf("read the secret's file: %w", err)}
	}
	s.stamp = at
	return s.content, nil
}

// Forget makes the next Get read the file again, even if its time is unchanged. s may be nil.
func (s *Secret) Forget() {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stamp = stamp{}
}

// stamp identifies one state of a file.
type stamp struct {
	modified time.Time
	size     int64
}

func stampOf(name string) (stamp, error) {
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return stamp{}, fmt.Errorf("%s does not exist", name)
	case err != nil:
		return stamp{}, err
	case !info.Mode().IsRegular():
		return stamp{}, fmt.Errorf("%s is not a regular file", name)
	}
	return stamp{info.ModTime(), info.Size()}, nil
}

func readSecret(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxSecretBytes+1))
	switch {
	case err != nil:
		return "", err
	case len(data) > maxSecretBytes:
		return "", fmt.Errorf("%s is larger than %d KiB", name, maxSecretBytes>>10)
	}
	data = bytes.TrimSpace(data)
	if len(data) == 0 {
		return "", fmt.Errorf("%s is empty", name)
	}
	return string(data), nil
}

// keyPair is a client certificate in files that may be replaced.
type keyPair struct {
	cert, key string

	mu                  sync.Mutex
	certStamp, keyStamp stamp
	pair                *tls.Certificate
}

// get returns the current certificate. Its errors stall the callback.
func (k *keyPair) get() (*tls.Certificate, error) {
	pair, err := k.read()
	if err != nil {
		return nil, &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Reason: auditrelay.ReasonCredentials, Err: err}
	}
	return pair, nil
}

func (k *keyPair) read() (*tls.Certificate, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	certStamp, err := stampOf(k.cert)
	if err != nil {
		return nil, fmt.Errorf("the client certificate: %w", err)
	}
	keyStamp, err := stampOf(k.key)
	if err != nil {
		return nil, fmt.Errorf("the client certificate's key: %w", err)
	}
	if k.pair != nil && certStamp == k.certStamp && keyStamp == k.keyStamp {
		return k.pair, nil
	}
	pair, err := tls.LoadX509KeyPair(k.cert, k.key)
	if err != nil {
		return nil, fmt.Errorf("the client certificate: %w", err)
	}
	k.pair, k.certStamp, k.keyStamp = &pair, certStamp, keyStamp
	return k.pair, nil
}
