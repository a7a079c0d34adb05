package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"

	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/s3"
	"auditrelay/config"
)

// s3Endpoint is the relay as an S3 endpoint, where the configuration has one.
type s3Endpoint struct {
	listener net.Listener // nil: none
	handler  atomic.Pointer[s3.Handler]
	counts   s3.Counts
}

// checkIngestS3 is config's look at the options of the S3 endpoint.
func checkIngestS3(cfg *config.IngestS3) error {
	h, err := s3.New(s3Options(cfg))
	if err == nil {
		h.Close()
	}
	return err
}

func s3Options(cfg *config.IngestS3) s3.Options {
	o := s3.Options{Region: cfg.Region, Buckets: cfg.Buckets, DiscardOther: cfg.DiscardOtherObjects, Hold: s3.DefaultHold}
	if cfg.Hold != nil {
		o.Hold = *cfg.Hold
	}
	for _, k := range cfg.Keys {
		o.Keys = append(o.Keys, s3.Key{Name: k.Name, AccessKeyID: k.AccessKeyID, Secret: k.SecretAccessKey})
	}
	if f := cfg.ForwardTo; f != nil {
		o.Forward = &s3.Forward{
			Endpoint: f.Endpoint, Region: f.Region, Bucket: f.Bucket, Buckets: f.Buckets, Methods: f.Methods,
			AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey, SessionToken: f.SessionToken,
		}
	}
	return o
}

// openS3 opens the endpoint's listener, where one is configured. Its requests are
// signed, so that it may listen beyond loopback without tokens.
func (d *daemon) openS3(ctx context.Context) error {
	cfg := d.cfg.Ingest.S3
	if cfg == nil {
		return nil
	}
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", cfg.Listen)
	if err != nil {
		return fmt.Errorf("ingest.s3: listen: %w", err)
	}
	d.s3.listener = l
	return nil
}

func (s *s3Endpoint) close() {
	if s.listener != nil {
		_ = s.listener.Close()
	}
	if h := s.handler.Load(); h != nil {
		h.Close()
	}
}

// useS3 puts the configured keys, buckets and target in force.
func (d *daemon) useS3(cfg *config.Config) error {
	if d.s3.listener == nil {
		return nil
	}
	if cfg.Ingest.S3 == nil { // its keys are good for nothing any more, though the listener stays until the end
		d.sources.Expect(sources.S3)
		if before := d.s3.handler.Swap(nil); before != nil {
			before.Close()
		}
		return nil
	}
	o := s3Options(cfg.Ingest.S3)
	if o.Forward != nil {
		o.Forward.Reserved = s3Places(cfg)
	}
	o.Runtime, o.Counts, o.Logger = d.rt, &d.s3.counts, d.log
	o.Limits = d.server.Limits().Ingest()
	o.Reserve, o.Inflate = d.server.Reserve, d.server.ReserveInflated
	names := make([]string, len(o.Keys))
	for i, k := range o.Keys {
		names[i] = k.Name
	}
	o.Seen = func(key string, events int) { d.sources.Add(sources.S3, key).Seen(events) }
	h, err := s3.New(o)
	if err != nil {
		return fmt.Errorf("ingest.s3: %w", err)
	}
	d.sources.Expect(sources.S3, names...)
	if before := d.s3.handler.Swap(h); before != nil {
		before.Close()
	}
	return nil
}

// serveS3 answers S3 requests until ctx ends.
func (d *daemon) serveS3(ctx context.Context) error {
	if d.s3.listener == nil {
		return nil
	}
	d.log.Info("listening for S3", "address", d.s3.listener.Addr().String(), "tls", d.certs != nil)
	return d.server.ServeHandler(ctx, d.s3.listener, d.certs.listenerConfig(), serveGrace, d.server.Paced(http.HandlerFunc(d.answerS3)))
}

func (d *daemon) answerS3(w http.ResponseWriter, r *http.Request) {
	h := d.s3.handler.Load()
	if h == nil {
		http.Error(w, "the S3 endpoint is not configured any more", http.StatusForbidden)
		return
	}
	h.ServeHTTP(w, r)
}
