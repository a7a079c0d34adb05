package app

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"auditrelay"
	"auditrelay/builtin/s3"
	ingest "auditrelay/cli/internal/sources/s3"
	"auditrelay/config"
)

// s3Places returns where the callbacks of cfg deliver in S3, whatever their endpoint: one store
// may have several names.
func s3Places(cfg *config.Config) []ingest.Place {
	var places []ingest.Place
	for i := range cfg.Callbacks {
		c := &cfg.Callbacks[i]
		if c.Sink.Type != "s3" {
			continue
		}
		var o s3.Options
		_ = c.Sink.Options.Decode(&o) // checked when the sink is created
		places = append(places, ingest.Place{Callback: c.Name, Bucket: o.Bucket, Prefix: o.Prefix})
	}
	return places
}

// checkPlaces rejects two callbacks that write to one place. Each could count as delivered what
// the other overwrote or omitted.
func (a *assembler) checkPlaces(cfg *config.Config) error {
	first := map[string]*config.Callback{}
	var errs []error
	for i := range cfg.Callbacks {
		c := &cfg.Callbacks[i]
		if a.makers[c.Sink.Type] == nil {
			continue
		}
		sink, err := a.sink(cfg, c)
		if err != nil {
			continue // already reported
		}
		place := ""
		if placed, ok := sink.(auditrelay.Placed); ok {
			place = placeOf(placed)
		}
		_ = closeSink(sink)
		switch other := first[place]; {
		case place == "":
		case other == nil:
			first[place] = c
		default:
			errs = append(errs, c.Sink.Options.Explain(fmt.Errorf(
				"it writes to the same place as callback %s (%s): each would overwrite or leave out what the other delivers; give one of them a path, prefix or schema of its own", other.Name, other.Place().From(c.Place()))))
		}
	}
	return errors.Join(errs...)
}

// placeOf returns a sink's place. For a file it resolves links in its folder if the folder
// exists.
func placeOf(sink auditrelay.Placed) string {
	place := sink.Place()
	path, ok := strings.CutPrefix(place, auditrelay.PlaceFile)
	if !ok {
		return place
	}
	if absolute, err := filepath.Abs(path); err == nil {
		path = absolute
	}
	if dir, err := filepath.EvalSymlinks(filepath.Dir(path)); err == nil {
		path = filepath.Join(dir, filepath.Base(path))
	}
	return auditrelay.PlaceFile + path
}

// checkForward rejects a forward_to into a callback's bucket if the callback uses the whole
// bucket.
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
			if bucket != place.Bucket {
				errs = append(errs, a.at(cfg.Callbacks[i].Place(), "callback "+place.Callback, fmt.Errorf(
					"its bucket %s is an access point, which may lead to bucket %s, or the reverse: what ingest.s3.forward_to passes on could overwrite what the callback delivered; give the callback a prefix", place.Bucket, bucket)))
				continue
			}
			errs = append(errs, a.at(cfg.Callbacks[i].Place(), "callback "+place.Callback, fmt.Errorf(
				"it delivers to the whole of bucket %s, to which ingest.s3.forward_to passes objects on: these could overwrite what it delivered; give the callback a prefix, or forward to another bucket", bucket)))
		}
	}
	return errors.Join(errs...)
}
