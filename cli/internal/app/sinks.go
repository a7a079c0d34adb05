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
	"auditrelay/builtin/splunk"
	"auditrelay/builtin/stdout"
	"auditrelay/builtin/syslog"
	"auditrelay/builtin/webhook"
	"auditrelay/config"
)

// SinkMaker makes a sink of one type from its options in the configuration. It
// does no I/O, since it is called to check a configuration too: what it made is
// then closed, where it can be, and thrown away.
type SinkMaker func(config.Section) (auditrelay.Sink, error)

// sinkMakers are the built-in sinks and those that a program brings, by the name
// under which a callback's sink stands in YAML.
func sinkMakers(more map[string]SinkMaker) (map[string]SinkMaker, error) {
	makers := map[string]SinkMaker{
		"s3":         makeS3,
		"gcs":        makeGCS,
		"azure_blob": makeAzureBlob,
		"kafka":      makeKafka,
		"otlp":       makeOTLP,
		"syslog":     makeSyslog,
		"elastic":    makeElastic,
		"file":       makeFile,
		"stdout":     makeStdout,
		"splunk":     makeSplunk,
		"datadog":    makeDatadog,
		"webhook":    makeWebhook,
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

func makeS3(section config.Section) (auditrelay.Sink, error) {
	var o s3.Options
	decoded := section.Decode(&o)
	o.Credentials.SharedFile = section.Path(o.Credentials.SharedFile)
	o.Credentials.Role.WebIdentityTokenFile = section.Path(o.Credentials.Role.WebIdentityTokenFile)
	sink, err := s3.New(o)
	return made(sink, decoded, err)
}

func makeAzureBlob(section config.Section) (auditrelay.Sink, error) {
	var o azureblob.Options
	decoded := section.Decode(&o)
	o.AccountKeyFile, o.SASTokenFile = section.Path(o.AccountKeyFile), section.Path(o.SASTokenFile)
	o.HTTP.Relative(section.Path)
	sink, err := azureblob.New(o)
	return made(sink, decoded, err)
}

func makeKafka(section config.Section) (auditrelay.Sink, error) {
	var o kafka.Options
	decoded := section.Decode(&o)
	o.SASL.PasswordFile = section.Path(o.SASL.PasswordFile)
	o.TLS.Relative(section.Path)
	sink, err := kafka.New(o)
	return made(sink, decoded, err)
}

func makeElastic(section config.Section) (auditrelay.Sink, error) {
	var o elastic.Options
	decoded := section.Decode(&o)
	o.APIKeyFile, o.PasswordFile = section.Path(o.APIKeyFile), section.Path(o.PasswordFile)
	o.HTTP.Relative(section.Path)
	sink, err := elastic.New(o)
	return made(sink, decoded, err)
}

func makeSyslog(section config.Section) (auditrelay.Sink, error) {
	var o syslog.Options
	decoded := section.Decode(&o)
	o.TLS.Relative(section.Path)
	sink, err := syslog.New(o)
	return made(sink, decoded, err)
}

func makeOTLP(section config.Section) (auditrelay.Sink, error) {
	var o otlp.Options
	decoded := section.Decode(&o)
	o.TokenFile = section.Path(o.TokenFile)
	o.HTTP.Relative(section.Path)
	sink, err := otlp.New(o)
	return made(sink, decoded, err)
}

func makeGCS(section config.Section) (auditrelay.Sink, error) {
	var o gcs.Options
	decoded := section.Decode(&o)
	o.CredentialsFile = section.Path(o.CredentialsFile)
	o.HTTP.Relative(section.Path)
	sink, err := gcs.New(o)
	return made(sink, decoded, err)
}

func makeFile(section config.Section) (auditrelay.Sink, error) {
	var o file.Options
	decoded := section.Decode(&o)
	o.Path = section.Path(o.Path)
	sink, err := file.New(o)
	return made(sink, decoded, err)
}

func makeStdout(section config.Section) (auditrelay.Sink, error) {
	var o stdout.Options
	decoded := section.Decode(&o)
	sink, err := stdout.New(o)
	return made(sink, decoded, err)
}

func makeSplunk(section config.Section) (auditrelay.Sink, error) {
	var o splunk.Options
	decoded := section.Decode(&o)
	o.TokenFile = section.Path(o.TokenFile)
	o.HTTP.Relative(section.Path)
	sink, err := splunk.New(o)
	return made(sink, decoded, err)
}

func makeDatadog(section config.Section) (auditrelay.Sink, error) {
	var o datadog.Options
	decoded := section.Decode(&o)
	o.APIKeyFile = section.Path(o.APIKeyFile)
	o.HTTP.Relative(section.Path)
	sink, err := datadog.New(o)
	return made(sink, decoded, err)
}

func makeWebhook(section config.Section) (auditrelay.Sink, error) {
	var o webhook.Options
	decoded := section.Decode(&o)
	o.SecretFile = section.Path(o.SecretFile)
	o.HTTP.Relative(section.Path)
	sink, err := webhook.New(o)
	return made(sink, decoded, err)
}

// made returns the sink that was constructed. Where its options did not decode, what the
// constructor says of the rest is told as well, so that one run shows all.
func made[S auditrelay.Sink](s S, decoded, constructed error) (auditrelay.Sink, error) {
	if constructed == nil && decoded != nil {
		decoded = errors.Join(decoded, closeSink(s))
	}
	if err := errors.Join(decoded, constructed); err != nil {
		return nil, err
	}
	return s, nil
}
