package app

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"auditrelay"
	azureblob "auditrelay/builtin/azure_blob"
	"auditrelay/builtin/datadog"
	"auditrelay/builtin/elastic"
	"auditrelay/builtin/file"
	"auditrelay/builtin/gcs"
	"auditrelay/builtin/kafka"
	"auditrelay/builtin/otlp"
	"auditrelay/builtin/s3"
	"auditrelay/builtin/secops"
	"auditrelay/builtin/sentinel"
	"auditrelay/builtin/splunk"
	"auditrelay/builtin/stdout"
	"auditrelay/builtin/syslog"
	"auditrelay/builtin/webhook"
	"auditrelay/config"
)

// SinkMaker creates a sink of one type from its options in the configuration. It must do no
// I/O, since it is also called to check a configuration. The sink is then closed if possible
// and dropped.
type SinkMaker func(config.Section) (auditrelay.Sink, error)

// sinkMakers returns the makers of the built-in sinks and of the program's own, by their name
// in YAML.
func sinkMakers(more map[string]SinkMaker) (map[string]SinkMaker, error) {
	makers := map[string]SinkMaker{
		"s3": maker(s3.New, func(o *s3.Options, path func(string) string) {
			o.Credentials.SharedFile, o.Credentials.Role.WebIdentityTokenFile = path(o.Credentials.SharedFile), path(o.Credentials.Role.WebIdentityTokenFile)
		}),
		"gcs": maker(gcs.New, func(o *gcs.Options, path func(string) string) {
			o.CredentialsFile = path(o.CredentialsFile)
			o.HTTP.Relative(path)
		}),
		"azure_blob": maker(azureblob.New, func(o *azureblob.Options, path func(string) string) {
			o.AccountKeyFile, o.SASTokenFile = path(o.AccountKeyFile), path(o.SASTokenFile)
			o.HTTP.Relative(path)
		}),
		"kafka": maker(kafka.New, func(o *kafka.Options, path func(string) string) {
			o.SASL.PasswordFile = path(o.SASL.PasswordFile)
			o.TLS.Relative(path)
		}),
		"otlp": maker(otlp.New, func(o *otlp.Options, path func(string) string) {
			o.TokenFile = path(o.TokenFile)
			o.HTTP.Relative(path)
		}),
		"syslog": maker(syslog.New, func(o *syslog.Options, path func(string) string) { o.TLS.Relative(path) }),
		"elastic": maker(elastic.New, func(o *elastic.Options, path func(string) string) {
			o.APIKeyFile, o.PasswordFile = path(o.APIKeyFile), path(o.PasswordFile)
			o.HTTP.Relative(path)
		}),
		"sentinel": maker(sentinel.New, func(o *sentinel.Options, path func(string) string) {
			o.ClientSecretFile = path(o.ClientSecretFile)
			o.HTTP.Relative(path)
		}),
		"secops": maker(secops.New, func(o *secops.Options, path func(string) string) {
			o.CredentialsFile = path(o.CredentialsFile)
			o.HTTP.Relative(path)
		}),
		"file":   maker(file.New, func(o *file.Options, path func(string) string) { o.Path = path(o.Path) }),
		"stdout": maker(stdout.New, func(*stdout.Options, func(string) string) {}),
		"splunk": maker(splunk.New, func(o *splunk.Options, path func(string) string) {
			o.TokenFile = path(o.TokenFile)
			o.HTTP.Relative(path)
		}),
		"datadog": maker(datadog.New, func(o *datadog.Options, path func(string) string) {
			o.APIKeyFile = path(o.APIKeyFile)
			o.HTTP.Relative(path)
		}),
		"webhook": maker(webhook.New, func(o *webhook.Options, path func(string) string) {
			o.SecretFile = path(o.SecretFile)
			o.HTTP.Relative(path)
		}),
		sqliteSink:   makeSQLite,
		postgresSink: makePostgres,
	}
	for _, name := range slices.Sorted(maps.Keys(more)) {
		if makers[name] != nil {
			return nil, fmt.Errorf("sink %s: there is a built-in sink of this name; give yours another", name)
		}
		makers[name] = more[name]
	}
	return makers, nil
}

// maker creates sinks of one type. relative makes the file names in its options relative to the
// configuration's file, with path.
func maker[O any, S auditrelay.Sink](build func(O) (S, error), relative func(o *O, path func(string) string)) SinkMaker {
	return func(section config.Section) (auditrelay.Sink, error) {
		var o O
		decoded := section.Decode(&o)
		relative(&o, section.Path)
		sink, err := build(o)
		return made(sink, decoded, err)
	}
}

// made returns the constructed sink. If its options did not decode, it also returns the
// constructor's errors, so that one run reports all.
func made[S auditrelay.Sink](s S, decoded, constructed error) (auditrelay.Sink, error) {
	if constructed == nil && decoded != nil {
		decoded = errors.Join(decoded, closeSink(s))
	}
	if err := errors.Join(decoded, constructed); err != nil {
		return nil, err
	}
	return s, nil
}
