package crashtest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// litellmPut puts one event as LiteLLM's s3_v2 does: at most three tries where the
// answer is 500 or 503, one and two seconds apart, and none where there is no answer.
// It reports whether the event was acknowledged.
func litellmPut(ctx context.Context, client *s3.Client, id string) bool {
	body := fmt.Appendf(nil, `{"id": %q, "action": "created", "table_name": "LiteLLM_TeamTable", "object_id": "t"}`, id)
	for try := range 3 {
		if try > 0 {
			time.Sleep(time.Duration(try) * time.Second) // LiteLLM's own pause, which is what is measured
		}
		_, err := client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: aws.String("audit"), Key: aws.String("audit_logs/2026-01-01/00-00-00_" + id + ".json"), Body: bytes.NewReader(body),
		})
		if err == nil {
			return true
		}
		answer, ok := errors.AsType[*awshttp.ResponseError](err)
		if !ok || answer.HTTPStatusCode() != http.StatusInternalServerError && answer.HTTPStatusCode() != http.StatusServiceUnavailable {
			return false
		}
	}
	return false
}

// What a restart of the relay costs where LiteLLM's S3 export is the only way in: what
// it sends while nobody listens. Nothing that was acknowledged is lost, however the
// relay ends, and what was sent twice is stored once.
func TestWhatARestartCostsByS3(t *testing.T) {
	for _, ending := range []struct {
		name   string
		signal os.Signal
	}{{"SIGTERM", syscall.SIGTERM}, {"SIGKILL", syscall.SIGKILL}} {
		t.Run(ending.name, func(t *testing.T) {
			dir, listen, s3Listen := t.TempDir(), address(t), address(t)
			config := filepath.Join(dir, "auditrelay.yaml")
			write(t, config, fmt.Sprintf(`
data_dir: %s
ingest: {s3: {listen: %s, keys: [{name: litellm, access_key_id: AKIDEXAMPLE, secret_access_key: a-secret-of-sufficient-length}]}}
callbacks: [{name: files, sink: {file: {path: %s}}}]
`, filepath.Join(dir, "data"), s3Listen, filepath.Join(dir, "out", "events.ndjson")))
			r := startRelay(t, listen, config)
			client := s3.New(s3.Options{
				Region: "us-east-1", BaseEndpoint: aws.String("http://" + s3Listen), UsePathStyle: true, Retryer: aws.NopRetryer{},
				Credentials: credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "a-secret-of-sufficient-length", ""),
			})

			const every, before, after = 10 * time.Millisecond, 60, 60
			acknowledged := map[string]bool{}
			var mu sync.Mutex
			var wg sync.WaitGroup
			sent := 0
			tick := time.NewTicker(every)
			defer tick.Stop()
			put := func() {
				<-tick.C
				id := fmt.Sprintf("e%d", sent)
				sent++
				wg.Go(func() {
					ok := litellmPut(t.Context(), client, id)
					mu.Lock()
					defer mu.Unlock()
					acknowledged[id] = ok
				})
			}
			for range before {
				put()
			}
			down := time.Now()
			if err := r.cmd.Process.Signal(ending.signal); err != nil {
				t.Fatal(err)
			}
			up := make(chan *relay, 1)
			go func() {
				<-r.done
				up <- spawnRelay(t, listen, config)
			}()
			for len(up) == 0 {
				put()
			}
			r = <-up
			for {
				put()
				answer, err := http.Get(r.url + "/readyz")
				if err == nil {
					answer.Body.Close()
					if answer.StatusCode == http.StatusOK {
						break
					}
				}
			}
			took := time.Since(down)
			for range after {
				put()
			}
			wg.Wait()
			r.settle(t, time.Minute)
			r.kill()

			stored := map[string]int{}
			files, err := filepath.Glob(filepath.Join(dir, "out", "*"))
			if err != nil {
				t.Fatal(err)
			}
			for _, file := range files {
				text, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				for _, m := range regexp.MustCompile(`"id": "(e\d+)"`).FindAllSubmatch(text, -1) {
					stored[string(m[1])]++
				}
			}
			lost := 0
			for id, ok := range acknowledged {
				switch {
				case ok && stored[id] != 1:
					t.Errorf("%s was acknowledged and is stored %d times", id, stored[id])
				case !ok && stored[id] == 0:
					lost++
				}
			}
			if len(stored) < before/2 {
				t.Errorf("only %d of %d events are stored", len(stored), sent)
			}
			t.Logf("%s: of %d events, one every %v, a restart of %v lost LiteLLM %d", ending.name, sent, every, took.Round(time.Millisecond), lost)
		})
	}
}
