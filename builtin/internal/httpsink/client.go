package httpsink

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"auditrelay"

	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"
)

// maxAnswerBytes limits the bytes read of an answer.
const maxAnswerBytes = 64 << 10

// maxHeaderBytes limits an answer's headers. An answer with more says nothing, whatever its
// status is.
const maxHeaderBytes = 256 << 10

// Client sends payloads to one destination, each in one attempt. It does not follow redirects.
// It is safe for concurrent use.
type Client struct {
	options   Options
	url       *url.URL
	http      *http.Client
	transport *http.Transport // the transport of http
	limiter   *Limiter
	rate      *rate.Limiter
	now       func() time.Time

	known  Known       // keys of delivered payloads
	faulty atomic.Bool // a fresh tombstone was refused, and nothing was accepted since
}

// Request is one request for a payload.
type Request struct {
	Method string // default: POST
	Path   string // appended to the client's URL
	// Escaped is the encoded form of Path, if it differs from the usual form.
	Escaped string
	Query   string // encoded; replaces the URL's own
	Header  http.Header
	Body    []byte // not kept after Send returns
	// MaxAnswer is the maximum number of bytes read of the answer, if it is more than 64 KiB.
	MaxAnswer int
}

// Answer is the destination's answer. Its body is truncated after 64 KiB. Errors must not
// contain its text: it may quote the request.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte

	sent  http.Header // the request's, which the answer may quote
	query string      // the request's, likewise
}

// Check returns an *auditrelay.OptionError for each invalid option, joined. Their paths begin
// with http.
func (o Options) Check() error { return errors.Join(o.check()...) }

// NewClient returns a client of a destination. The options must be checked and complete
// (CheckURL, Check, WithDefaults). jar keeps cookies for load balancers; nil keeps none.
func NewClient(o Options, u *url.URL, jar http.CookieJar) (*Client, error) {
	g, err := newGuard(o.AllowNetworks)
	if err != nil {
		return nil, err
	}
	proxy := http.ProxyFromEnvironment
	if given, err := o.proxy(); err != nil {
		return nil, err
	} else if given != nil {
		proxy = http.ProxyURL(given)
	} else if o.Proxy == "none" {
		proxy = nil
	}
	trusted := ""
	if proxy != nil {
		through, err := proxy(&http.Request{URL: u})
		if err != nil {
			return nil, errors.New("the environment's proxy is not a URL")
		}
		if through != nil {
			trusted = address(through)
		}
	}
	c := &Client{options: o, url: u, limiter: NewLimiter(o.Concurrency), now: time.Now}
	if o.RequestsPerSecond > 0 {
		c.rate = rate.NewLimiter(rate.Limit(o.RequestsPerSecond), 1)
	}
	c.transport = &http.Transport{
		Proxy:                  proxy,
		DialContext:            g.dialer(trusted),
		TLSClientConfig:        o.tls(),
		TLSHandshakeTimeout:    10 * time.Second,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           o.Concurrency,
		MaxIdleConnsPerHost:    o.Concurrency,
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxHeaderBytes,
		DisableCompression:     true,
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, answer *http.Response) error {
			if answer.StatusCode == http.StatusOK {
				return nil
			}
			return proxyError(answer.StatusCode)
		},
	}
	c.http = &http.Client{
		Jar:           jar,
		Transport:     c.transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func address(u *url.URL) string {
	if u.Port() != "" {
		return u.Host
	}
	switch u.Scheme {
	case "https":
		return u.Host + ":443"
	case "socks5", "socks5h":
		return u.Host + ":1080"
	}
	return u.Host + ":80"
}

// Concurrency returns the maximum number of simultaneous requests.
func (c *Client) Concurrency() int { return c.options.Concurrency }

// HTTP returns the client's own HTTP client, with its guard, proxy and TLS, for a library that
// makes the requests. It reads at most 1 MiB of an answer. The caller limits the time.
func (c *Client) HTTP() *http.Client {
	h := *c.http
	h.Transport = bounded{h.Transport}
	return &h
}

// Tokens returns a client for the token services of the destination, with its guard, proxy,
// certificate authorities and request_timeout. TLS options that concern only the destination
// (server_name, insecure_skip_verify, a client certificate) do not apply.
func (c *Client) Tokens() *http.Client {
	h := *c.http
	t := c.transport.Clone()
	t.TLSClientConfig.ServerName, t.TLSClientConfig.InsecureSkipVerify, t.TLSClientConfig.GetClientCertificate = "", false, nil
	h.Transport, h.Timeout = bounded{t}, c.options.RequestTimeout
	return &h
}

// maxLibraryBytes limits the bytes that a library reads of an answer.
const maxLibraryBytes = 1 << 20

// bounded is a transport whose answers fail after maxLibraryBytes.
type bounded struct{ http.RoundTripper }

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.RoundTripper.RoundTrip(request)
	if err != nil {
		return nil, err
	}
	response.Body = http.MaxBytesReader(nil, response.Body, maxLibraryBytes)
	return response, nil
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Target returns the destination for errors and receipts: its URL without the query, which may
// contain a secret.
func (c *Client) Target() string { return c.url.Scheme + "://" + c.url.Host + c.url.EscapedPath() }

// Deliver calls attempt within the limits of concurrency and rate. attempt sends p and returns
// nil once the destination has accepted it. If this process already delivered the payload's
// key, the payload is a duplicate and is not sent again. Errors are classified.
//
// A refused payload of tombstones only is misconfigured. The relay wrote its content, so the
// request is at fault and every event would be refused alike. The callback then stalls, and at
// most the events in flight have become dead letters. A payload older than freshTombstone stays
// refused, since the destination may refuse old entries. This exception does not apply while a
// fresh tombstone was refused and nothing was accepted since: a stall of hours must not end
// because its tombstones grow old. A new Client does not know about earlier refusals.
func (c *Client) Deliver(ctx context.Context, p auditrelay.Payload, attempt func(ctx context.Context) error) (auditrelay.Receipt, error) {
	receipt := auditrelay.Receipt{Location: c.Target()}
	if c.known.Has(p.Key) {
		receipt.Duplicate = true
		return receipt, nil
	}
	era, err := c.limiter.Acquire(ctx)
	if err != nil {
		return auditrelay.Receipt{}, c.Failure(ctx, err)
	}
	if c.rate != nil {
		if err = c.rate.Wait(ctx); err != nil && ctx.Err() == nil {
			err = &auditrelay.DeliveryError{Reason: auditrelay.ReasonTimeout, Err: fmt.Errorf("post to %s: not sent: requests_per_second allows no request before the attempt ends", c.Target())}
		}
	}
	if err == nil {
		err = attempt(context.WithValue(ctx, statusKey{}, &receipt.Status))
	}
	if err != nil {
		err = c.Failure(ctx, err)
	}
	err = c.alike(p, err)
	c.limiter.Release(era, auditrelay.KindOf(err) == auditrelay.Throttled && err != nil, err == nil)
	if err != nil {
		return auditrelay.Receipt{}, err
	}
	c.known.Add(p.Key)
	return receipt, nil
}

// freshTombstone is the age, since its event's receipt, up to which a tombstone cannot be
// refused for its age. It carries that time, and destinations refuse old entries; no known
// destination refuses younger ones. The same distance applies to a clock that is ahead.
const freshTombstone = time.Hour

// alike turns the refusal of tombstones into a stall; see Deliver.
func (c *Client) alike(p auditrelay.Payload, err error) error {
	if _, some := errors.AsType[*auditrelay.RecordErrors](err); err == nil || some {
		c.faulty.Store(false)
		return err
	}
	refused, ok := errors.AsType[*auditrelay.DeliveryError](err)
	if !ok || refused.Kind != auditrelay.Refused || p.Headers[tombstones] == "" {
		return err
	}
	received, wrong := time.Parse(time.RFC3339, p.Headers[tombstones])
	if wrong == nil && c.now().Sub(received).Abs() <= freshTombstone {
		c.faulty.Store(true)
	}
	if !c.faulty.Load() {
		return err
	}
	stalled := *refused
	stalled.Kind = auditrelay.Misconfigured
	stalled.Err = fmt.Errorf("%w: the destination refused a tombstone, which the relay writes itself, so the request is wrong and not an event: correct the fault that the response names, then replay the dead letters", refused.Err)
	return &stalled
}

// statusKey is the context key of a *int: the status of an attempt's latest answer, for the
// receipt.
type statusKey struct{}

// Encode compresses the body of a request with headers h, according to the options.
func (c *Client) Encode(h http.Header, body []byte) ([]byte, error) {
	if c.options.Compression != CompressionGzip {
		return body, nil
	}
	compressed, err := Compress(body)
	if err != nil {
		return nil, fmt.Errorf("compress with gzip: %w", err)
	}
	h.Set(ContentEncoding, CompressionGzip)
	return compressed, nil
}

// Send posts one request and returns the answer, whatever its status.
func (c *Client) Send(ctx context.Context, r Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.RequestTimeout)
	defer cancel()
	lent := []*LentBody{Lend(r.Body)}
	defer func() {
		for _, body := range lent {
			body.TakeBack()
		}
	}()
	target := *c.url
	if r.Path != "" {
		base := strings.TrimSuffix(target.Path, "/")
		target.Path, target.RawPath = base+r.Path, ""
		if r.Escaped != "" {
			target.RawPath = (&url.URL{Path: base}).EscapedPath() + r.Escaped
		}
	}
	if r.Query != "" {
		target.RawQuery = r.Query
	}
	request, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodPost), target.String(), lent[0])
	if err != nil {
		return Answer{}, err
	}
	// The transport repeats a request that the server refused unread (HTTP/2) or that was not sent.
	request.GetBody = func() (io.ReadCloser, error) {
		again := Lend(r.Body)
		lent = append(lent, again)
		return io.NopCloser(again), nil
	}
	request.Header = r.Header
	request.Header.Set("User-Agent", "auditrelay")
	for name, values := range request.Header {
		if !slices.ContainsFunc(values, unfit) {
			continue
		}
		return Answer{}, &auditrelay.DeliveryError{Kind: auditrelay.Unauthorized, Reason: auditrelay.ReasonCredentials,
			Err: fmt.Errorf("post to %s: the header %s would contain a line break or a control character: does the credential's file contain more than the credential?", c.Target(), name)}
	}
	request.ContentLength = int64(len(r.Body))
	return c.do(request, max(r.MaxAnswer, maxAnswerBytes))
}

// unfit reports whether a value is not allowed in a header.
func unfit(value string) bool { return !httpguts.ValidHeaderFieldValue(value) }

func (c *Client) do(request *http.Request, most int) (Answer, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close()
	if status, ok := request.Context().Value(statusKey{}).(*int); ok {
		*status = response.StatusCode
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, int64(most)))
	// A truncated refusal is still a refusal, if its missing part could not concern a record.
	if err != nil && (response.StatusCode < 300 || KindOf(response.StatusCode) == auditrelay.Refused) {
		return Answer{}, &cutAnswer{response.StatusCode, err}
	}
	return Answer{Status: response.StatusCode, Header: response.Header, Body: data, sent: request.Header, query: request.URL.RawQuery}, nil
}

// cutAnswer is the failure to read the body of an answer.
type cutAnswer struct {
	status int
	err    error
}

func (c *cutAnswer) Error() string { return "read the answer: " + c.err.Error() }
func (c *cutAnswer) Unwrap() error { return c.err }

// html reports whether an answer is an HTML page, as proxies and log-in servers send with
// status 200.
func (a Answer) html() bool {
	media := strings.ToLower(strings.TrimSpace(a.Header.Get("Content-Type")))
	if strings.HasPrefix(media, "text/html") || strings.HasPrefix(media, "application/xhtml+xml") {
		return true
	}
	// Comments, an XML declaration or a byte order mark may precede the page.
	start := bytes.ToLower(bytes.TrimSpace(bytes.TrimPrefix(a.Body[:min(len(a.Body), 1024)], []byte("\ufeff"))))
	return bytes.HasPrefix(start, []byte("<")) && (bytes.Contains(start, []byte("<!doctype html")) || bytes.Contains(start, []byte("<html")))
}

// Connect connects to the destination, including TLS, and sends a request without effect
// (OPTIONS). Its answer does not matter.
func (c *Client) Connect(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.options.RequestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodOptions, c.url.String(), nil)
	if err != nil {
		return err
	}
	request.Header.Set("User-Agent", "auditrelay")
	_, err = c.do(request, maxAnswerBytes)
	return err
}
