package litellm

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// Logger sends events like one version over one transport. It is safe for concurrent use.
type Logger struct {
	Version   Version
	Transport Transport
	// Endpoint is the relay's address, such as http://127.0.0.1:8788, with path-style buckets.
	Endpoint, Bucket, Prefix string
	AccessKeyID, Secret      string
	// Batch puts a flush's events into one object, with a new name at each flush.
	Batch bool
	// DropTerminal drops a permanently refused object if another one of the flush succeeded
	// (s3_drop_on_terminal_error).
	DropTerminal bool
	// Second is the unit of pauses. Default: 1 s.
	Second time.Duration
	// Timeout limits one request. Default: 600 Seconds.
	Timeout time.Duration

	mu    sync.Mutex
	queue []*upload
	done  []string
	lost  []string
}

// upload is one object and the events in it.
type upload struct {
	ids, bodies []string
	key         string
	old         bool // it was queued again
}

// atOnce is the maximum number of simultaneous uploads of the present version.
const atOnce = 16

// Log queues an event. It creates the key once, for all retries.
func (l *Logger) Log(id, event string) {
	now := time.Now().UTC()
	name := strings.NewReplacer("/", "_").Replace(id)
	u := &upload{ids: []string{id}, bodies: []string{event}, key: l.folder(now) + now.Format("15-04-05_") + name + ".json"}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, u)
}

// LogRequest queues a request log. Request logs share the queue if the file has no
// s3_audit_callback_params.
func (l *Logger) LogRequest(id, body string) {
	now := time.Now().UTC()
	key := now.Format("2006-01-02/") + "time-" + now.Format("15-04-05-000000") + "_" + id + ".json"
	l.mu.Lock()
	defer l.mu.Unlock()
	l.queue = append(l.queue, &upload{ids: []string{id}, bodies: []string{body}, key: key})
}

func (l *Logger) folder(t time.Time) string {
	folder := "audit_logs/" + t.Format("2006-01-02") + "/"
	if l.Prefix != "" {
		folder = l.Prefix + "/" + folder
	}
	return folder
}

// Done returns the ids of acknowledged events.
func (l *Logger) Done() []string { l.mu.Lock(); defer l.mu.Unlock(); return slices.Clone(l.done) }

// Lost returns the ids of abandoned events.
func (l *Logger) Lost() []string { l.mu.Lock(); defer l.mu.Unlock(); return slices.Clone(l.lost) }

// Waiting returns the number of events that wait for the next flush.
func (l *Logger) Waiting() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, u := range l.queue {
		n += len(u.ids)
	}
	return n
}

// Run flushes at each tick until ctx ends. Seed and Summer do not wait for the uploads of a
// flush; Present does.
func (l *Logger) Run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if l.Version == Present {
				l.Flush(ctx)
			} else {
				wg.Go(func() { l.Flush(ctx) })
			}
		}
	}
}

// Flush sends the queue and returns when each upload has its fate.
func (l *Logger) Flush(ctx context.Context) {
	l.mu.Lock()
	queue := l.queue
	l.queue = nil
	l.mu.Unlock()
	slices.SortStableFunc(queue, func(a, b *upload) int { // new events precede those queued again
		switch {
		case a.old == b.old:
			return 0
		case b.old:
			return -1
		}
		return 1
	})
	if l.Batch && len(queue) > 0 {
		queue = []*upload{l.batch(queue)}
	}
	slots := make(chan struct{}, max(len(queue), 1))
	if l.Version == Present {
		slots = make(chan struct{}, atOnce)
	}
	fates := make([]Fate, len(queue))
	terminal := make([]bool, len(queue))
	var wg sync.WaitGroup
	for i, u := range queue {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			fates[i], terminal[i] = l.send(ctx, u)
		})
	}
	wg.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	delivered := slices.Contains(fates, Done)
	for i, u := range queue {
		switch {
		case fates[i] == Done:
			l.done = append(l.done, u.ids...)
		case fates[i] == Lost, terminal[i] && l.DropTerminal && delivered:
			l.lost = append(l.lost, u.ids...)
		default:
			u.old = true
			l.queue = append(l.queue, u)
		}
	}
}

// batch returns one object with a queue's events, under its own name.
func (l *Logger) batch(queue []*upload) *upload {
	now := time.Now().UTC()
	var random [16]byte
	_, _ = rand.Read(random[:])
	out := &upload{key: l.folder(now) + now.Format("batch_15-04-05_") + hex.EncodeToString(random[:]) + ".jsonl"}
	for _, u := range queue {
		out.ids, out.bodies = append(out.ids, u.ids...), append(out.bodies, u.bodies...)
	}
	return out
}

// send sends one upload, with the tries of its version.
func (l *Logger) send(ctx context.Context, u *upload) (fate Fate, terminal bool) {
	for try := range tries {
		if try > 0 {
			select {
			case <-ctx.Done():
				return Queued, false
			case <-time.After(time.Duration(try) * l.second()):
			}
		}
		if fate, terminal = l.try(ctx, u); fate != Retried {
			return fate, terminal
		}
	}
	return Queued, terminal
}

// try sends one PUT and, if the transport requires it, the POST.
func (l *Logger) try(ctx context.Context, u *upload) (fate Fate, terminal bool) {
	r := l.request(u)
	a, broke := r.do(ctx, http.MethodPut, l.timeout())
	if a == nil && l.Transport.Again(broke) {
		a, _ = r.do(ctx, http.MethodPost, l.timeout())
	}
	if a == nil {
		return l.Version.Broke(), false
	}
	terminal = (a.status == http.StatusBadRequest || a.status == http.StatusForbidden) && slices.Contains(terminalCodes, a.code)
	return l.Version.Answered(a.status), terminal
}

func (l *Logger) second() time.Duration {
	if l.Second == 0 {
		return time.Second
	}
	return l.Second
}

func (l *Logger) timeout() time.Duration {
	if l.Timeout == 0 {
		return 600 * l.second()
	}
	return l.Timeout
}

// request returns a signed PUT, which may also be sent as a POST.
func (l *Logger) request(u *upload) *request {
	body, contentType, file := []byte(u.bodies[0]), "application/json", "audit-"+u.ids[0]+".json"
	if l.Batch {
		body, contentType = []byte(strings.Join(u.bodies, "\n")), "application/x-ndjson"
		file = u.key[strings.LastIndex(u.key, "/")+1:]
	}
	md, sha := md5.Sum(body), sha256.Sum256(body)
	r, err := http.NewRequest(http.MethodPut, l.Endpoint+"/"+l.Bucket+"/"+u.key, nil)
	if err != nil {
		panic(err) // the test's own endpoint
	}
	head := [][2]string{
		{"Content-Type", contentType}, {"Content-MD5", base64.StdEncoding.EncodeToString(md[:])}, {"Content-Language", "en"},
		{"Content-Disposition", `inline; filename="` + file + `"`}, {"Cache-Control", "private, immutable, max-age=31536000, s-maxage=0"},
		{"X-Amz-Content-SHA256", hex.EncodeToString(sha[:])},
	}
	for _, h := range head {
		r.Header.Set(h[0], h[1])
	}
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true })
	keys := aws.Credentials{AccessKeyID: l.AccessKeyID, SecretAccessKey: l.Secret}
	if err := signer.SignHTTP(context.Background(), keys, r, hex.EncodeToString(sha[:]), "s3", "us-east-1", time.Now()); err != nil {
		panic(err)
	}
	var b bytes.Buffer
	for _, h := range append([][2]string{{"Host", r.URL.Host}, {"Accept", "*/*"}, {"Accept-Encoding", "gzip, deflate"}, {"Connection", "keep-alive"}, {"User-Agent", "litellm/1"}}, head[:5]...) {
		fmt.Fprintf(&b, "%s: %s\r\n", h[0], h[1])
	}
	for _, name := range []string{"X-Amz-Date", "X-Amz-Content-SHA256", "Authorization"} {
		fmt.Fprintf(&b, "%s: %s\r\n", name, r.Header.Get(name))
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
	return &request{address: r.URL.Host, path: r.URL.EscapedPath(), head: b.Bytes(), body: body}
}
