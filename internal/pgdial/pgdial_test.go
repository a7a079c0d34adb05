package pgdial_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"auditrelay"
	"auditrelay/internal/pgdial"
	"auditrelay/internal/test/pgtest"

	"github.com/jackc/pgx/v5/pgconn"
)

// Whatever stands where a password does, unescaped or not: no part of it is taken for a
// host, a database, a user or a parameter, and the error has none.
func TestAPasswordThatIsNotEscapedIsNeverShown(t *testing.T) {
	const secret = "Ret77"
	for _, between := range []string{"@", "/", "?", "#", ":", "%", " ", "[", "]", "'", `"`, `\`, "&", "=", "?x=", "/@", "#@", "@/", ":1/", "1/", "1?", "%zz", "\n", "@?x=", "//", "@[::1]"} {
		for _, pw := range []string{"Sec" + between + secret, between + secret, "543" + between + secret, "Sec" + between + secret + between + "x"} {
			for _, text := range []string{
				"postgres://user:" + pw + "@127.0.0.1:5432/db", "postgresql://user:" + pw + "@h/db?sslmode=disable",
				"postgres://user:" + pw + "@h1:5432,h2:5433/db", "postgres://:" + pw + "@h/db", "http://user:" + pw + "@h/db",
				"host=h user=u password='" + pw + "' dbname=db", "host=h user=u dbname=db password=" + pw,
			} {
				c, _, err := pgdial.Parse(auditrelay.Secret(text))
				if err != nil {
					if strings.Contains(err.Error(), secret) {
						t.Errorf("%q: %v", text, err)
					}
					continue
				}
				shown := pgdial.Place(c) + " " + c.User
				for _, f := range c.Fallbacks {
					shown += " " + f.Host
				}
				if strings.Contains(shown, secret) {
					t.Errorf("%q is read as %s", text, shown)
				}
			}
		}
	}
}

func TestParse(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://u:p%40ss%2F@db.example/audit": "db.example:5432/audit", "postgresql://u@[::1]:5433/a": "::1:5433/a",
		"host=/run/postgresql user=u dbname=a": "/run/postgresql:5432/a", "postgres://u:p@h1,h2:6000/a?target_session_attrs=read-write": "h1:5432/a",
		"postgres://u:p@db_1.internal./a": "db_1.internal.:5432/a",
	} {
		c, _, err := pgdial.Parse(auditrelay.Secret(text))
		if err != nil || pgdial.Place(c) != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	c, schema, err := pgdial.Parse("postgres://u:p@h/db?schema=litellm&connection_limit=5&pgbouncer=true&sslmode=disable&statement_timeout=5s")
	if err != nil || schema != "litellm" || len(c.RuntimeParams) != 1 || c.RuntimeParams["statement_timeout"] != "5s" {
		t.Errorf("LiteLLM's: %q, %v, %v", schema, c, err)
	}
	for text, want := range map[string]string{
		"": "required", "mysql://u:p@h/db": "it is not a connection string", "postgres://u:p@h:port/db": "port",
		"postgres://u:p@h/db?sslmode=bogus": "sslmode", "postgres://u:p@h/db?target_session_attrs=best": "target_session_attrs",
		"postgres://u:p@h/db?sslmode=verify-full&sslrootcert=/no/such/file": "sslrootcert",
		"postgres://u:p@h/db?application_name=a@b":                          "%40",
	} {
		if _, _, err := pgdial.Parse(auditrelay.Secret(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

// answering listens, and does what it is told with each connection.
func answering(t *testing.T, do func(net.Conn)) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); do(c) }()
		}
	}()
	return l.Addr().String()
}

// Each failure says which it is, and none of them has the password.
func TestExplainSaysWhichFailureItWas(t *testing.T) {
	server := pgtest.Start(t)
	admin := server.Connect(t, "owner", "postgres")
	admin.Exec("CREATE ROLE limited LOGIN CONNECTION LIMIT 0")
	closed := answering(t, func(net.Conn) {})
	hung := answering(t, func(c net.Conn) { _, _ = io.Copy(io.Discard, c) })
	web := answering(t, func(c net.Conn) {
		_, _ = c.Write([]byte("HTTP/1.1 400 Bad Request\r\n\r\n"))
		_, _ = io.Copy(io.Discard, c)
	})
	plain := answering(t, func(c net.Conn) { _, _ = c.Write([]byte("N")); _, _ = io.Copy(io.Discard, c) })
	refusing := answering(t, func(net.Conn) {})
	tcp := func(address, more string) string {
		return "postgres://u:hunter2@" + address + "/db?connect_timeout=1&" + more
	}
	for name, tt := range map[string]struct{ url, want string }{
		"name":       {tcp("no.such.host.invalid", "sslmode=disable"), "cannot be resolved"},
		"closed":     {tcp(closed, "sslmode=disable"), "closed the connection"},
		"refused":    {tcp("127.0.0.1:1", "sslmode=disable"), "connection refused"},
		"hung":       {tcp(hung, "sslmode=disable"), "did not answer in time"},
		"no TLS":     {tcp(plain, "sslmode=require"), "TLS failed: the server does not offer TLS"},
		"other":      {tcp(web, "sslmode=disable"), "does not use Postgres's protocol"},
		"reset":      {tcp(refusing, "sslmode=require"), "closed the connection"},
		"role":       {server.URL("stranger", "postgres") + " password=hunter2", "SQLSTATE 28"},
		"database":   {server.URL("owner", "nowhere"), "SQLSTATE 3D000"},
		"full":       {server.URL("limited", "postgres"), "it has no connection left"},
		"attributes": {server.URL("owner", "postgres") + " target_session_attrs=standby", "does not match target_session_attrs"},
		"parameter":  {server.URL("owner", "postgres") + " hunter2=1", "the server does not know a parameter of the connection string"},
		"several":    {"postgres://u:hunter2@127.0.0.1:1," + plain + "/db?sslmode=require&connect_timeout=1", "does not offer TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			c, _, err := pgdial.Parse(auditrelay.Secret(tt.url))
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			conn, err := pgconn.ConnectConfig(ctx, &c.Config)
			if err == nil {
				conn.Close(ctx)
				t.Fatal("it connected")
			}
			text := pgdial.Explain(err).Error()
			if !strings.Contains(text, tt.want) || strings.Contains(text, "hunter2") {
				t.Errorf("%s, want %s (%v)", text, tt.want, err)
			}
			if tt.want == "SQLSTATE 28" && strings.Contains(text, "TLS") {
				t.Errorf("a way that need not work is told: %s", text)
			}
			if name == "several" && !strings.Contains(text, "connection refused") {
				t.Errorf("one of two hosts is left out: %s", text)
			}
			if again := pgdial.Explain(pgdial.Explain(err)); again.Error() != text {
				t.Errorf("explained again: %v", again)
			}
		})
	}
	if err := pgdial.Explain(errors.New("planted")); strings.Contains(err.Error(), "planted") {
		t.Errorf("what is not known is shown: %v", err)
	}
	// A statement's failure never has a value.
	conn, err := pgconn.Connect(t.Context(), server.URL("owner", "postgres"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for statement, want := range map[string]string{
		"SELECT 'planted'::int": "SQLSTATE 22P02", "SELECT planted": "column", "SELECT 1/0": "SQLSTATE 22012",
		"DO $$ BEGIN RAISE EXCEPTION 'planted' USING ERRCODE = '23505'; END $$": "SQLSTATE 23505",
	} {
		_, err := conn.Exec(t.Context(), statement).ReadAll()
		text := pgdial.Explain(err).Error()
		if !strings.Contains(text, want) || strings.Contains(text, "planted") != (want == "column") {
			t.Errorf("%s: %s", statement, text)
		}
	}
}
