package s3

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm = "AWS4-HMAC-SHA256"
	amzTime   = "20060102T150405Z"
	maxSkew   = 15 * time.Minute

	// More than any client signs or requests.
	maxSignedHeaders = 100
	maxQueryParams   = 64
)

// verifier checks that one of its keys signed a request.
type verifier struct {
	keys   map[string]Key // by access key id
	region string         // empty if any is accepted
	now    func() time.Time
}

// signed is a request whose headers one of the keys signed. Its body is not verified yet.
type signed struct {
	key     Key
	method  string // the signed method; see signedMethods
	path    string // the signed path, decoded
	query   url.Values
	payload string // x-amz-content-sha256
	// The other fields are needed for the signatures of chunks.
	signing [sha256.Size]byte
	when    string
	scope   string
	seed    string
}

// authorization is the parsed header.
type authorization struct {
	accessKeyID, date, region string
	headers                   []string // sorted, in lower case, without duplicates
	signature                 string
}

func (a *authorization) scope() string { return a.date + "/" + a.region + "/s3/aws4_request" }

// parseAuthorization parses a header of the form AWS4-HMAC-SHA256
// Credential=ID/date/region/s3/aws4_request, SignedHeaders=a;b, Signature=hex.
func parseAuthorization(header string) (*authorization, *Error) {
	malformed := func(what string) (*authorization, *Error) {
		return nil, fail("AuthorizationHeaderMalformed", "the Authorization header is malformed: "+what)
	}
	scheme, rest, _ := strings.Cut(header, " ")
	if scheme != algorithm {
		return nil, fail("InvalidRequest", "the authorization mechanism is not supported; please use "+algorithm)
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, ok := strings.Cut(strings.TrimSpace(part), "=")
		if _, twice := parts[name]; !ok || twice || (name != "Credential" && name != "SignedHeaders" && name != "Signature") {
			return malformed("expected Credential, SignedHeaders and Signature, each once")
		}
		parts[name] = value
	}
	if len(parts) != 3 {
		return malformed("expected Credential, SignedHeaders and Signature, each once")
	}
	credential := strings.Split(parts["Credential"], "/")
	if len(credential) != 5 || credential[4] != "aws4_request" {
		return malformed("the credential is not of the form ID/yyyymmdd/region/s3/aws4_request")
	}
	a := &authorization{accessKeyID: credential[0], date: credential[1], region: credential[2], signature: parts["Signature"]}
	if credential[3] != "s3" {
		return malformed("the credential is for another service; expecting s3")
	}
	if len(a.signature) != 2*sha256.Size || strings.Trim(a.signature, "0123456789abcdef") != "" {
		return malformed("the signature is not 64 hexadecimal digits")
	}
	a.headers = strings.Split(parts["SignedHeaders"], ";")
	if len(a.headers) > maxSignedHeaders {
		return malformed("too many signed headers")
	}
	for i, name := range a.headers {
		if name == "" || name != strings.ToLower(name) || (i > 0 && name <= a.headers[i-1]) {
			return malformed("the signed headers are not in lower case, sorted, each once")
		}
	}
	if !slices.Contains(a.headers, "host") {
		return malformed("the header host is not signed")
	}
	return a, nil
}

// verify verifies the signature of the request's headers.
func (v *verifier) verify(r *http.Request) (*signed, *Error) {
	query, fault := parseQuery(r.URL.RawQuery)
	if fault != nil {
		return nil, fault
	}
	header := r.Header.Values("Authorization")
	switch {
	case len(header) == 0 && (query.Has("X-Amz-Signature") || query.Has("Signature")):
		return nil, fail("AccessDenied", "presigned URLs are not supported; sign the request's headers")
	case len(header) == 0:
		return nil, fail("AccessDenied", "the request is not signed")
	case len(header) > 1:
		return nil, fail("AuthorizationHeaderMalformed", "more than one Authorization header")
	}
	a, fault := parseAuthorization(header[0])
	if fault != nil {
		return nil, fault
	}
	when, fault := v.time(r)
	if fault != nil {
		return nil, fault
	}
	key, known := v.keys[a.accessKeyID]
	switch {
	case !known:
		return nil, fail("InvalidAccessKeyId", "the access key id is not known here: see ingest.s3.keys")
	case a.date != when[:8]:
		return nil, fail("AuthorizationHeaderMalformed", "the Authorization header is malformed: the credential's date is not the request's")
	case v.region != "" && a.region != v.region:
		return nil, fail("AuthorizationHeaderMalformed", "the Authorization header is malformed: the region is wrong; expecting "+strconv.Quote(v.region))
	}
	s := &signed{key: key, query: query, payload: r.Header.Get("X-Amz-Content-Sha256"), when: when, scope: a.scope(), seed: a.signature}
	if s.payload == "" {
		return nil, fail("InvalidRequest", "missing required header for this request: x-amz-content-sha256")
	}
	headers, fault := canonicalHeaders(r, a.headers)
	if fault != nil {
		return nil, fault
	}
	s.signing = signingKey(key.Secret.Reveal(), a.date, a.region)
	names := strings.Join(a.headers, ";")
	for _, method := range signedMethods(r.Method) {
		for _, p := range canonicalPaths(r) {
			request := strings.Join([]string{method, p.canonical, canonicalQuery(query), headers, names, s.payload}, "\n")
			digest := sha256.Sum256([]byte(request))
			if s.matches(a.signature, algorithm+"\n"+when+"\n"+s.scope+"\n"+hex.EncodeToString(digest[:])) {
				s.method, s.path = method, p.decoded
				return s, nil
			}
		}
	}
	return nil, fail("SignatureDoesNotMatch", "the signature is not the one of this key and this request; check the secret access key, and whether a proxy changes path or headers")
}

// signedMethods returns the methods that may have been signed. After a broken connection
// LiteLLM sends a PUT again as a POST, with the headers and the signature of the PUT. It must
// be accepted as the PUT, since for some versions it is the event's last chance.
func signedMethods(method string) []string {
	if method == http.MethodPost {
		return []string{http.MethodPost, http.MethodPut}
	}
	return []string{method}
}

// time returns when the request was signed, in the signature's form.
func (v *verifier) time(r *http.Request) (string, *Error) {
	at, err := time.Parse(amzTime, r.Header.Get("X-Amz-Date"))
	if r.Header.Get("X-Amz-Date") == "" {
		at, err = http.ParseTime(r.Header.Get("Date"))
	}
	if err != nil {
		return "", fail("AccessDenied", "a signed request needs a valid date: x-amz-date, of the form yyyymmddThhmmssZ")
	}
	if skew := v.now().Sub(at).Abs(); skew > maxSkew {
		return "", fail("RequestTimeTooSkewed", fmt.Sprintf(
			"the difference between the request's time and the relay's is more than %d minutes: set both clocks", int(maxSkew.Minutes())))
	}
	return at.UTC().Format(amzTime), nil
}

// matches compares a signature with that of text, in constant time.
func (s *signed) matches(signature, text string) bool {
	got, err := hex.DecodeString(signature)
	return err == nil && hmac.Equal(got, mac(s.signing[:], text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func signingKey(secret, date, region string) (key [sha256.Size]byte) {
	k := mac([]byte("AWS4"+secret), date)
	for _, part := range []string{region, "s3", "aws4_request"} {
		k = mac(k, part)
	}
	copy(key[:], k)
	return key
}

// canonicalHeaders formats the signed headers. Every x-amz-* header must be among them, as in
// S3. Otherwise an intermediary could add one.
func canonicalHeaders(r *http.Request, names []string) (string, *Error) {
	for _, name := range slices.Sorted(maps.Keys(r.Header)) {
		lower := strings.ToLower(name)
		if _, found := slices.BinarySearch(names, lower); !found && strings.HasPrefix(lower, "x-amz-") {
			return "", fail("AccessDenied", "there is a header in the request that was not signed: "+lower)
		}
	}
	var b strings.Builder
	for _, name := range names {
		values := r.Header.Values(name)
		switch {
		case name == "host":
			values = []string{r.Host}
		case name == "content-length" && len(values) == 0 && r.ContentLength >= 0:
			values = []string{strconv.FormatInt(r.ContentLength, 10)}
		case name == "transfer-encoding":
			values = r.TransferEncoding
		}
		if len(values) == 0 {
			return "", fail("SignatureDoesNotMatch", "a header that was signed is not in the request; a proxy may have taken it out: "+strconv.QuoteToASCII(name))
		}
		b.WriteString(name)
		b.WriteByte(':')
		for i, value := range values {
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(strings.Join(strings.FieldsFunc(value, blank), " "))
		}
		b.WriteByte('\n')
	}
	return b.String(), nil
}

func blank(c rune) bool { return c == ' ' || c == '\t' }

// signedPath is a possible form of the signed path, and its decoded path.
type signedPath struct{ canonical, decoded string }

// canonicalPaths returns the forms in which clients sign the path. In S3's own form each byte
// of the key is encoded once. LiteLLM uses botocore's general signer, which removes doubled
// slashes and encodes encoded characters again. The forms differ if an endpoint ends with a
// slash or a key has a character that needs encoding.
func canonicalPaths(r *http.Request) []signedPath {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(raw, "/") { // in absolute form, or set by a test
		raw = r.URL.EscapedPath()
	}
	own := encode(r.URL.Path, true)
	paths := []signedPath{{own, r.URL.Path}}
	segments := strings.Split(raw, "/")
	if slices.Contains(segments, ".") || slices.Contains(segments, "..") {
		return paths // their meaning must not be guessed
	}
	plain := collapse(raw)
	if general := encode(plain, true); general != own {
		if decoded, err := url.PathUnescape(plain); err == nil {
			paths = append(paths, signedPath{general, decoded})
		}
	}
	return paths
}

func collapse(path string) string {
	var b strings.Builder
	for i := range len(path) {
		if path[i] != '/' || i == 0 || path[i-1] != '/' {
			b.WriteByte(path[i])
		}
	}
	return b.String()
}

// encode applies the URI encoding of SigV4.
func encode(s string, path bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' ||
			c == '-' || c == '_' || c == '.' || c == '~' || (path && c == '/') {
			b.WriteByte(c)
			continue
		}
		b.WriteByte('%')
		b.WriteByte(digits[c>>4])
		b.WriteByte(digits[c&15])
	}
	return b.String()
}

func parseQuery(raw string) (url.Values, *Error) {
	if strings.Count(raw, "&") >= maxQueryParams {
		return nil, fail("InvalidURI", "too many parameters in the query")
	}
	query, err := url.ParseQuery(raw)
	if err != nil {
		return nil, fail("InvalidURI", "the query cannot be read")
	}
	return query, nil
}

func canonicalQuery(query url.Values) string {
	type pair struct{ name, value string }
	var pairs []pair
	for name, values := range query {
		for _, value := range values {
			pairs = append(pairs, pair{encode(name, false), encode(value, false)})
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return cmp.Or(strings.Compare(a.name, b.name), strings.Compare(a.value, b.value)) })
	var b strings.Builder
	for i, p := range pairs {
		if i > 0 {
			b.WriteByte('&')
		}
		b.WriteString(p.name + "=" + p.value)
	}
	return b.String()
}
