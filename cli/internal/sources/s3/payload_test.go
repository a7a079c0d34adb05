package s3

import (
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"auditrelay/runtime"
)

// TestAnUnsignedPayloadFromElsewhere: accepted over TLS, or from this machine.
func TestAnUnsignedPayloadFromElsewhere(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	for _, form := range []string{unsignedPayload, unsignedTrailer} {
		for _, tt := range []struct {
			from string
			tls  bool
			code string
		}{
			{"127.0.0.1:1", false, ""}, {"[::1]:1", false, ""}, {"192.0.2.1:1", true, ""}, {"192.0.2.1:1", false, "InvalidRequest"},
		} {
			body := event("a")
			if form == unsignedTrailer {
				body = fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
			}
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "http://relay.example/"+testBucket+"/"+testKey, strings.NewReader(body))
			req.RemoteAddr = tt.from
			if form == unsignedTrailer {
				req.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(event("a"))))
			}
			if req.TLS = nil; tt.tls {
				req.TLS = &tls.ConnectionState{}
			}
			signWith(t, s3Signer(), req, testID, testSecret, form, time.Now())
			w := httptest.NewRecorder()
			r.h.ServeHTTP(w, req)
			if got := (answer{body: w.Body.String()}).code(); got != tt.code {
				t.Errorf("%s from %s, TLS %v: %d %s", form, tt.from, tt.tls, w.Code, w.Body)
			}
		}
	}
}

// TestHalfABody: a connection that breaks leaves nothing.
func TestHalfABody(t *testing.T) {
	r := newRelay(t, Options{}, runtime.Options{})
	body := event("a") + "\n" + event("b")
	req := unsigned(t, r, http.MethodPut, "/"+testBucket+"/"+testKey, body)
	resign(t, s3Signer(), req, body)
	c, err := net.Dial("tcp", r.http.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "PUT %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", req.URL.Path, req.URL.Host, len(body))
	for name, values := range req.Header {
		fmt.Fprintf(c, "%s: %s\r\n", name, values[0])
	}
	fmt.Fprintf(c, "\r\n%s", body[:len(event("a"))+1])
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	text := make([]byte, 4096)
	n, err := c.Read(text)
	if err != nil || !strings.Contains(string(text[:n]), "IncompleteBody") {
		t.Errorf("%s, %v", text[:n], err)
	}
	r.nothing()
}

// AWS's own examples of signed chunks, from the documentation of S3: 66,560 bytes in
// two chunks, without and with a trailer.
const (
	exampleSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	exampleTime   = "20130524T000000Z"
)

func exampleSigned(seed string) *signed {
	return &signed{signing: signingKey(exampleSecret, "20130524", "us-east-1"), when: exampleTime, scope: "20130524/us-east-1/s3/aws4_request", seed: seed}
}

func exampleChunks(signatures [3]string, end string) string {
	a := strings.Repeat("a", 65536)
	return "10000;chunk-signature=" + signatures[0] + "\r\n" + a + "\r\n400;chunk-signature=" + signatures[1] + "\r\n" + a[:1024] +
		"\r\n0;chunk-signature=" + signatures[2] + "\r\n" + end
}

func TestAWSsExamplesOfChunks(t *testing.T) {
	plain := chunkCase{
		seed: "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
		body: exampleChunks([3]string{"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
			"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497", "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"}, "\r\n"),
	}
	trailer := chunkCase{
		seed: "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e", trailer: true,
		body: exampleChunks([3]string{"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7", "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"},
			"x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n"),
	}
	for name, c := range map[string]chunkCase{"chunks": plain, "chunks and a trailer": trailer} {
		t.Run(name, func(t *testing.T) {
			data, fault := c.read()
			if fault != nil || data != strings.Repeat("a", 66560) {
				t.Fatalf("%v, %d bytes", fault, len(data))
			}
			// One changed byte in each part, and one removed chunk.
			for _, at := range []int{0, 20, 30, 100, 200, len(c.body) / 2, len(c.body) - 200, len(c.body) - 90, len(c.body) - 40} {
				changed := c
				b := []byte(c.body)
				b[at] ^= 1
				changed.body = string(b)
				if _, fault := changed.read(); fault == nil {
					t.Errorf("byte %d changed: taken", at)
				}
			}
			without := c
			start, end := strings.Index(c.body, "400;"), strings.Index(c.body, "0;chunk-signature="+c.last())
			without.body, without.size = c.body[:start]+c.body[end:], 65536
			if _, fault := without.read(); fault == nil || fault.Code != "SignatureDoesNotMatch" {
				t.Errorf("a chunk taken out: %v", fault)
			}
			short := c
			short.body = c.body[:len(c.body)-100]
			if _, fault := short.read(); fault == nil {
				t.Error("cut short: taken")
			}
		})
	}
}

type chunkCase struct {
	seed, body string
	trailer    bool
	size       int
}

// last returns the signature of the last chunk.
func (c chunkCase) last() string {
	_, rest, _ := strings.Cut(c.body[strings.LastIndex(c.body, "\r\n0;"):], "chunk-signature=")
	return rest[:64]
}

func (c chunkCase) read() (string, *Error) {
	h := http.Header{}
	if c.trailer {
		h.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
	}
	sums, fault := checksumsOf(h)
	if fault != nil {
		return "", fault
	}
	size := c.size
	if size == 0 {
		size = 66560
	}
	into := make([]byte, size)
	r := chunkReader{from: strings.NewReader(c.body), sign: exampleSigned(c.seed), trailer: c.trailer, sums: sums}
	if fault := r.read(into); fault != nil {
		return "", fault
	}
	return string(into), sums.verify(into)
}

// TestSignedChunksOverHTTP: the header's signature is the first of the chain.
func TestSignedChunksOverHTTP(t *testing.T) {
	for _, tamper := range []bool{false, true} {
		r := newRelay(t, Options{}, runtime.Options{})
		body := event("a")
		req := unsigned(t, r, http.MethodPut, "/"+testBucket+"/"+testKey, "")
		req.Header.Set("Content-Encoding", "aws-chunked")
		req.Header.Set("X-Amz-Decoded-Content-Length", fmt.Sprint(len(body)))
		signWith(t, s3Signer(), req, testID, testSecret, signedChunks, time.Now())
		_, seed, _ := strings.Cut(req.Header.Get("Authorization"), "Signature=")
		when := req.Header.Get("X-Amz-Date")
		s := &signed{signing: signingKey(testSecret, when[:8], "us-west-2"), when: when, scope: when[:8] + "/us-west-2/s3/aws4_request"}
		text := ""
		for _, piece := range []string{body[:10], body[10:], ""} {
			digest := sha256Hex([]byte(piece))
			seed = hex.EncodeToString(mac(s.signing[:], algorithm+"-PAYLOAD\n"+s.when+"\n"+s.scope+"\n"+seed+"\n"+sha256Hex(nil)+"\n"+digest))
			text += fmt.Sprintf("%x;chunk-signature=%s\r\n%s\r\n", len(piece), seed, piece)
		}
		if tamper {
			text = strings.Replace(text, "LiteLLM_TeamTable", "LiteLLM_UserTable", 1)
		}
		sent := unsigned(t, r, http.MethodPut, req.URL.Path, text)
		sent.Header = req.Header
		a := r.do(sent)
		switch {
		case tamper && a.code() != "SignatureDoesNotMatch":
			t.Errorf("tampered with: %d %s", a.status, a.body)
		case tamper:
			r.nothing()
		case a.status != http.StatusOK || !slices.Equal(r.stored(), []string{body}):
			t.Errorf("%d %s", a.status, a.body)
		}
	}
}

func TestMalformedChunks(t *testing.T) {
	for body, want := range map[string]string{
		"":                        "IncompleteBody",
		"5\r\nhello\r\n0\r\n\r\n": "",
		"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n": "",
		"5\nhello\n0\nx-amz-checksum-crc32:NhCmhg==\n\n":           "",
		"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n": "BadDigest",
		"5\r\nhello\r\n0\r\nx-amz-checksum-sha1:AAAA\r\n\r\n":      "InvalidRequest",
		"5\r\nhello\r\n0\r\nx-amz-meta-a:b\r\n\r\n":                "InvalidRequest",
		"5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n":     "IncompleteBody",
		"5\r\nhello\r\n0\r\n\r\nmore":                              "InvalidRequest",
		"5\r\nhello":                                               "IncompleteBody",
		"5\r\nhel":                                                 "IncompleteBody",
		"5\r\nhelloX\r\n0\r\n\r\n":                                 "InvalidRequest",
		"4\r\nhell\r\n0\r\n\r\n":                                   "InvalidRequest",
		"6\r\nhello!\r\n0\r\n\r\n":                                 "InvalidRequest",
		"ffffffffffffffff\r\nhello":                                "InvalidRequest",
		"-1\r\nhello":                                              "InvalidRequest",
		"+5\r\nhello\r\n0\r\n\r\n":                                 "InvalidRequest",
		"x\r\nhello":                                               "InvalidRequest",
		"5;chunk-signature=00\r\nhello\r\n0\r\n\r\n":               "InvalidRequest",
		strings.Repeat("0", 5000) + "5\r\nhello\r\n0\r\n\r\n":      "InvalidRequest",
		"5\r\nhello\r\n0\r\n" + strings.Repeat("x:y\r\n", 100):     "InvalidRequest",
	} {
		h := http.Header{}
		if strings.Contains(body, "crc32") {
			h.Set("X-Amz-Trailer", "x-amz-checksum-crc32")
		}
		sums, fault := checksumsOf(h)
		if fault != nil {
			t.Fatal(fault)
		}
		into := make([]byte, 5)
		r := chunkReader{from: strings.NewReader(body), trailer: true, sums: sums}
		if fault = r.read(into); fault == nil {
			fault = sums.verify(into)
		}
		if got := code(fault); got != want {
			t.Errorf("%.60q: %v, want %s", body, fault, want)
		}
	}
	// An announced trailer that is missing.
	sums, _ := checksumsOf(http.Header{"X-Amz-Trailer": {"x-amz-checksum-crc32"}})
	into := make([]byte, 5)
	r := chunkReader{from: strings.NewReader("5\r\nhello\r\n0\r\n\r\n"), trailer: true, sums: sums}
	if fault := r.read(into); fault != nil || code(sums.verify(into)) != "InvalidRequest" {
		t.Errorf("%v", fault)
	}
}

func code(e *Error) string {
	if e == nil {
		return ""
	}
	return e.Code
}
