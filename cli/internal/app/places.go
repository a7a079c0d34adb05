package app

import (
	"errors"
	"fmt"
	"slices"

	"auditrelay/builtin/s3"
	ingest "auditrelay/cli/internal/sources/s3"
	"auditrelay/config"
)

// s3Places are where the callbacks of cfg deliver in S3, whatever endpoint they use:
// one store can be reached by several names.
func s3Places(cfg *config.Config) []ingest.Place {
	var places []ingest.Place
	for i := range cfg.Callbacks {
		c := &cfg.Callbacks[i]
		if c.Sink.Type != "s3" {
			continue
		}
		var o s3.Options
		_ = c.Sink.Options.Decode(&o) // checked when the sink is made
		places = append(places, ingest.Place{Callback: c.Name, Bucket: o.Bucket, Prefix: o.Prefix})
	}
	return places
}

// checkForward refuses a forward_to that leads into a callback's own bucket where the
// callback has the whole of it.
func (a *assembler) checkForward(cfg *config.Config) error {
	section, given := cfg.Ingest.Sources["s3"]
	if !given {
		return nil
	}
	s3, err := ingest.Read(section)
	f := s3.ForwardTo
	if err != nil || f == nil {
		return err
	}
	var errs []error
	for _, place := range s3Places(cfg) {
		for _, bucket := range append([]string{f.Bucket}, f.Buckets...) {
			if bucket == "" || !place.Holds(bucket, "") {
				continue
			}
			i := slices.IndexFunc(cfg.Callbacks, func(c config.Callback) bool { return c.Name == place.Callback })
			errs = append(errs, a.at(cfg.Callbacks[i].Line(), "callback "+place.Callback, fmt.Errorf(
				"it delivers to the whole of bucket %s, to which ingest.s3.forward_to passes objects on: these could overwrite what it delivered; give the callback a prefix, or forward to another bucket", bucket)))
		}
	}
	return errors.Join(errs...)
}
