package oidc

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"auditrelay/config"
	"auditrelay/internal/test/oidctest"

	"github.com/go-jose/go-jose/v4"
	"github.com/oauth2-proxy/mockoidc"
)

func open(t *testing.T, mock *oidctest.Issuer, change func(*config.OIDC)) *Issuer {
	t.Helper()
	cfg := config.OIDC{Issuer: mock.Issuer(), Audience: mock.ClientID}
	if change != nil {
		change(&cfg)
	}
	i, err := New(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// TestTokens: what the issuer signed for this relay counts, for as long as it says, and
// nothing else does.
func TestTokens(t *testing.T) {
	mock := oidctest.New(t)
	issuer := open(t, mock, nil)
	kid, _ := mock.Keypair.KeyID()
	public := mock.Keypair.PublicKey
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	raw := func(part any) string {
		text, _ := json.Marshal(part)
		return base64.RawURLEncoding.EncodeToString(text)
	}
	good := mock.Token(nil)
	parts := strings.Split(good, ".")
	now := time.Now()
	for _, row := range []struct {
		name, token string
		who         string // of those that count
		err         error
	}{
		{"good", good, "alice@example.com", nil},
		{"one of several audiences", mock.Token(map[string]any{"aud": []string{"other", mock.ClientID}}), "alice@example.com", nil},
		{"expired within the leeway", mock.Token(map[string]any{"exp": now.Add(-10 * time.Second).Unix()}), "alice@example.com", nil},
		{"nbf within the leeway", mock.Token(map[string]any{"nbf": now.Add(10 * time.Second).Unix()}), "alice@example.com", nil},
		{"without an email", mock.Token(map[string]any{"email": nil}), "1234", nil},
		{"an email that nobody verified", mock.Token(map[string]any{"email_verified": false}), "1234", nil},
		{"the same as a text", mock.Token(map[string]any{"email_verified": "false"}), "1234", nil},
		{"a verified email", mock.Token(map[string]any{"email_verified": true}), "alice@example.com", nil},
		{"without a key id", mock.Sign(jose.RS256, mock.Keypair.PrivateKey, "", mock.Claims(nil)), "alice@example.com", nil},

		{"alg none", raw(map[string]string{"alg": "none"}) + "." + raw(mock.Claims(nil)) + ".", "", ErrInvalid},
		{"alg none with a signature", raw(map[string]string{"alg": "none", "kid": kid}) + "." + parts[1] + "." + parts[2], "", ErrInvalid},
		{"HS256 with the public key as DER", mock.Sign(jose.HS256, der, kid, mock.Claims(nil)), "", ErrInvalid},
		{"HS256 with the public key as PEM", mock.Sign(jose.HS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), kid, mock.Claims(nil)), "", ErrInvalid},
		{"an algorithm that is not accepted", mock.Sign(jose.RS512, mock.Keypair.PrivateKey, kid, mock.Claims(nil)), "", ErrInvalid},
		{"another key under the same id", mock.Sign(jose.RS256, other, kid, mock.Claims(nil)), "", ErrInvalid},
		{"another kind of key under the same id", mock.Sign(jose.ES256, curve, kid, mock.Claims(nil)), "", ErrInvalid},
		{"an unknown key", mock.Sign(jose.RS256, other, "other", mock.Claims(nil)), "", ErrInvalid},
		{"another key without an id", mock.Sign(jose.RS256, other, "", mock.Claims(nil)), "", ErrInvalid},
		{"claims of another token", parts[0] + "." + raw(mock.Claims(map[string]any{"email": "boss@example.com"})) + "." + parts[2], "", ErrInvalid},
		{"no signature", parts[0] + "." + parts[1] + ".", "", ErrInvalid},
		{"another audience", mock.Token(map[string]any{"aud": "another-program"}), "", ErrInvalid},
		{"no audience", mock.Token(map[string]any{"aud": nil}), "", ErrInvalid},
		{"an audience of another kind", mock.Token(map[string]any{"aud": 7}), "", ErrInvalid},
		{"another issuer", mock.Token(map[string]any{"iss": "https://evil.example"}), "", ErrInvalid},
		{"an issuer that begins alike", mock.Token(map[string]any{"iss": mock.Issuer() + "/"}), "", ErrInvalid},
		{"expired", mock.Token(map[string]any{"exp": now.Add(-time.Minute).Unix()}), "", ErrExpired},
		{"without exp", mock.Token(map[string]any{"exp": nil}), "", ErrInvalid},
		{"exp as a text", mock.Token(map[string]any{"exp": "never"}), "", ErrInvalid},
		{"exp 0", mock.Token(map[string]any{"exp": 0}), "", ErrInvalid},
		{"nbf in the future", mock.Token(map[string]any{"nbf": now.Add(2 * time.Minute).Unix()}), "", ErrInvalid},
		{"iat in the future", mock.Token(map[string]any{"iat": now.Add(2 * time.Minute).Unix()}), "", ErrInvalid},
		{"nbf of another kind", mock.Token(map[string]any{"nbf": "now"}), "", ErrInvalid},
		{"without sub", mock.Token(map[string]any{"sub": nil}), "", ErrInvalid},
		{"an email that is a list", mock.Token(map[string]any{"email": []string{"a", "b"}}), "", ErrInvalid},
		{"an email that is a number", mock.Token(map[string]any{"email": 7}), "", ErrInvalid},
		{"an email that is an object", mock.Token(map[string]any{"email": map[string]any{"a": "b"}}), "", ErrInvalid},
		{"the relay's own name", mock.Token(map[string]any{"email": "Relay"}), "", ErrInvalid},
		{"a hook's name", mock.Token(map[string]any{"email": "hook:x"}), "", ErrInvalid},
		{"a name with a line break", mock.Token(map[string]any{"email": "a\nb"}), "", ErrInvalid},
		{"a long name", mock.Token(map[string]any{"email": strings.Repeat("a", 300)}), "", ErrInvalid},
		{"a huge token", mock.Token(map[string]any{"more": strings.Repeat("a", 20<<10)}), "", ErrInvalid},
		{"not a token", "ey.a.b", "", ErrInvalid},
		{"nothing", "", "", ErrInvalid},
	} {
		who, err := issuer.Verify(t.Context(), row.token)
		switch {
		case !errors.Is(err, row.err) || (err == nil) != (row.err == nil):
			t.Errorf("%s: %v", row.name, err)
		case err == nil && (who.Name != row.who || who.Subject != mock.Issuer()+" 1234"):
			t.Errorf("%s: %+v", row.name, who)
		}
	}
	if n := mock.Fetched.Load(); n != 1 {
		t.Errorf("the keys were read %d times for one flood of unknown keys", n)
	}
}

// TestKeysRotate: a new key of the issuer counts as soon as a token names it, and a flood of
// tokens with unknown keys makes the relay ask once every ten seconds.
func TestKeysRotate(t *testing.T) {
	mock := oidctest.New(t)
	issuer := open(t, mock, nil)
	now := time.Now()
	issuer.now = func() time.Time { return now }
	old := mock.Token(nil)
	if _, err := issuer.Verify(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	next, err := mockoidc.RandomKeypair(2048)
	if err != nil {
		t.Fatal(err)
	}
	mock.Keypair = next
	fresh := mock.Token(nil)
	if _, err := issuer.Verify(t.Context(), fresh); !errors.Is(err, ErrInvalid) {
		t.Errorf("right after the last reading: %v", err)
	}
	now = now.Add(fetchEvery)
	if _, err := issuer.Verify(t.Context(), fresh); err != nil {
		t.Error(err)
	}
	if _, err := issuer.Verify(t.Context(), old); !errors.Is(err, ErrInvalid) {
		t.Errorf("the key that the issuer withdrew: %v", err)
	}
	for range 100 {
		_, _ = issuer.Verify(t.Context(), old)
	}
	if n := mock.Fetched.Load(); n != 2 {
		t.Errorf("the keys were read %d times", n)
	}
}

// TestSilentIssuer: known keys count for a day, and after that nothing does. It is told
// once in the log, and for as long as it lasts by Trouble.
func TestSilentIssuer(t *testing.T) {
	mock := oidctest.New(t)
	var text strings.Builder
	issuer, err := New(config.OIDC{Issuer: mock.Issuer(), Audience: mock.ClientID}, slog.New(slog.NewTextHandler(&text, nil)))
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	issuer.now = func() time.Time { return now }
	token := mock.Token(map[string]any{"exp": now.Add(48 * time.Hour).Unix()})
	mock.Down.Store(true)
	if _, err := issuer.Verify(t.Context(), token); !errors.Is(err, ErrUnreachable) {
		t.Errorf("before anything is known: %v", err)
	}
	issuer.awaitReading() // it asks for the time too
	now = now.Add(fetchEvery)
	if _, err := issuer.Verify(t.Context(), token); !errors.Is(err, ErrUnreachable) || !strings.Contains(issuer.Trouble(), "refused") {
		t.Errorf("%v, %q", err, issuer.Trouble())
	}
	mock.Down.Store(false)
	issuer.awaitReading()
	now = now.Add(fetchEvery)
	if _, err := issuer.Verify(t.Context(), token); err != nil || issuer.Trouble() != "" {
		t.Errorf("%v, %q", err, issuer.Trouble())
	}
	mock.Down.Store(true)
	issuer.awaitReading()
	now = now.Add(keysFor - time.Second)
	if _, err := issuer.Verify(t.Context(), token); err != nil {
		t.Errorf("within the day: %v", err)
	}
	issuer.awaitReading()
	now = now.Add(2 * time.Second)
	if _, err := issuer.Verify(t.Context(), token); !errors.Is(err, ErrUnreachable) {
		t.Errorf("after the day: %v", err)
	}
	if n := strings.Count(text.String(), "cannot be read"); n != 2 {
		t.Errorf("told %d times of two silences:\n%s", n, text.String())
	}
}

// TestAddressesOfTheIssuer: what the issuer's document names is https, or on this machine,
// for the client's secret goes there.
func TestAddressesOfTheIssuer(t *testing.T) {
	for name, good := range map[string]bool{"": true, "authorization_endpoint": false, "token_endpoint": false, "jwks_uri": false} {
		var server *httptest.Server
		server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/keys" {
				key, err := mockoidc.RandomKeypair(2048)
				if err != nil {
					t.Error(err)
					return
				}
				keys, err := key.JWKS()
				if err != nil {
					t.Error(err)
				}
				_, _ = w.Write(keys)
				return
			}
			document := map[string]string{"issuer": server.URL, "authorization_endpoint": server.URL + "/a", "token_endpoint": server.URL + "/t", "jwks_uri": server.URL + "/keys"}
			if name != "" {
				document[name] = "http://issuer.example.com/x"
			}
			if err := json.NewEncoder(w).Encode(document); err != nil {
				t.Error(err)
			}
		}))
		issuer, err := New(config.OIDC{Issuer: server.URL, Audience: "relay"}, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		issuer.Refresh()
		issuer.awaitReading()
		if (issuer.Trouble() == "") != good {
			t.Errorf("%s elsewhere in clear text: %q", name, issuer.Trouble())
		}
		server.Close()
	}
}

// awaitReading waits for the reading under way.
func (i *Issuer) awaitReading() {
	i.mu.Lock()
	reading := i.reading
	i.mu.Unlock()
	if reading != nil {
		<-reading
	}
}

func TestClaims(t *testing.T) {
	var claims Claims
	if err := json.Unmarshal([]byte(`{"one":"a","many":["a","b c"],"none":[],"null":null,"number":7,"mixed":["a",7],"nested":{"roles":["x"],"deep":{"er":"y"}},
		"https://example.com/roles":["z"],"a.b":"whole","a":{"b":"parts"},"list":[{"a":"b"}]}`), &claims); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"one": "a", "many": "a|b c", "none": "", "null": "", "absent": "", "nested.roles": "x", "nested.deep.er": "y", "nested.absent": "", "one.more": "",
		"https://example.com/roles": "z", "a.b": "whole", "number": "error", "mixed": "error", "nested": "error", "list": "error",
	} {
		values, err := claims.Values(name)
		got := strings.Join(values, "|")
		if err != nil {
			got = "error"
		}
		if got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}
