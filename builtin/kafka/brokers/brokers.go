// Package brokers connects to Kafka's brokers, for the sink and for the source that reads
// topics.
package brokers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"regexp"
	"strings"
	"time"

	"auditrelay"
	"auditrelay/builtin/internal/httpsink"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/sasl/plain"
	"github.com/twmb/franz-go/pkg/sasl/scram"
)

// The values of SASL's Mechanism.
const (
	MechanismPlain  = "plain"
	MechanismSHA256 = "scram-sha-256"
	MechanismSHA512 = "scram-sha-512"
)

// SASL authenticates the relay to the brokers.
type SASL struct {
	// Mechanism is plain, scram-sha-256 or scram-sha-512. For Event Hubs: plain.
	Mechanism string `yaml:"mechanism"`

	// Username is the user's name. For Event Hubs: $ConnectionString.
	Username string `yaml:"username"`

	// Password is the user's password; for Event Hubs the connection string.
	Password auditrelay.Secret `yaml:"password"`

	// PasswordFile is a file with the password. The relay reads it again when it changes.
	PasswordFile string `yaml:"password_file"`
}

// TLS configures the trusted certificates and the client certificate.
type TLS = httpsink.TLS

// Connection configures the connection to the brokers.
type Connection struct {
	Brokers       []string // host:port; they name the other brokers. Required
	SASL          SASL
	Plaintext     bool
	TLS           TLS
	AllowNetworks []string
}

// Access is a checked Connection. It is safe for concurrent use.
type Access struct {
	c        Connection
	password *httpsink.Secret
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// Access checks c. It does no I/O. The error joins an *auditrelay.OptionError for each invalid
// option.
func (c Connection) Access() (*Access, error) {
	errs := httpsink.CheckStream(c.Plaintext, c.TLS, c.AllowNetworks)
	bad := func(path, format string, args ...any) {
		errs = append(errs, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
	}
	if len(c.Brokers) == 0 {
		bad("brokers", "it is required, as in [broker.example:9093]")
	}
	for i, broker := range c.Brokers {
		if host, port, err := net.SplitHostPort(broker); err != nil || host == "" || port == "" {
			bad(fmt.Sprintf("brokers[%d]", i), "expected host:port, as in broker.example:9093")
		}
	}
	a := &Access{c: c}
	switch c.SASL.Mechanism {
	case "":
		if c.SASL != (SASL{}) {
			bad("sasl.mechanism", "it is required: plain, scram-sha-256 or scram-sha-512")
		}
	case MechanismPlain, MechanismSHA256, MechanismSHA512:
		if c.SASL.Username == "" {
			bad("sasl.username", "it is required")
		}
		var err error
		a.password, err = httpsink.NewSecret("sasl.password", c.SASL.Password, c.SASL.PasswordFile)
		errs = append(errs, err)
		if c.SASL.Mechanism == MechanismPlain && c.Plaintext {
			bad("plaintext", "the mechanism plain would expose the password on the network")
		}
	default:
		bad("sasl.mechanism", "expected plain, scram-sha-256 or scram-sha-512")
	}
	err := errors.Join(errs...)
	if err == nil {
		a.dial, err = httpsink.Dial(c.AllowNetworks)
	}
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Options returns the options of a client for the brokers. Dialing rejects internal addresses
// that AllowNetworks does not include.
func (a *Access) Options() []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(a.c.Brokers...), kgo.ClientID("auditrelay"), kgo.Dialer(a.connect),
		// Event Hubs closes connections that are idle for 240 s.
		kgo.ConnIdleTimeout(200 * time.Second), kgo.MetadataMinAge(250 * time.Millisecond),
	}
	user := a.c.SASL.Username
	auth := func(context.Context) (scram.Auth, error) {
		password, err := a.password.Get()
		return scram.Auth{User: user, Pass: password}, err
	}
	switch a.c.SASL.Mechanism {
	case MechanismPlain:
		opts = append(opts, kgo.SASL(plain.Plain(func(context.Context) (plain.Auth, error) {
			password, err := a.password.Get()
			return plain.Auth{User: user, Pass: password}, err
		})))
	case MechanismSHA256:
		opts = append(opts, kgo.SASL(scram.Sha256(auth)))
	case MechanismSHA512:
		opts = append(opts, kgo.SASL(scram.Sha512(auth)))
	}
	return opts
}

// Forget makes the next connection read the password again.
func (a *Access) Forget() {
	if a.password != nil {
		a.password.Forget()
	}
}

// connect dials a broker that the operator or another broker named.
func (a *Access) connect(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := a.dial(ctx, network, address)
	if err != nil || a.c.Plaintext {
		return conn, err
	}
	return httpsink.Handshake(ctx, conn, a.c.TLS, address)
}

var topicForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

// ValidTopic reports whether name is a valid name of a topic.
func ValidTopic(name string) bool {
	return topicForm.MatchString(name) && strings.Trim(name, ".") != ""
}

// Inside reports whether err says that a broker's address is internal and not allowed.
func Inside(err error) bool { return errors.Is(err, httpsink.ErrInside) }

// Untrusted reports whether err says that a broker's certificate is not trusted.
func Untrusted(err error) bool { return strings.Contains(err.Error(), "certificate") }
