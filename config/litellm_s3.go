package config

import (
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// s3Keys maps LiteLLM's s3_* parameters to the options of the S3 sink. Only this table and
// convert know both.
var s3Keys = []struct{ litellm, option string }{
	{"s3_bucket_name", "bucket"},
	{"s3_region_name", "region"},
	{"s3_path", "prefix"},
	{"s3_endpoint_url", "endpoint"},
	{"s3_use_virtual_hosted_style", "addressing"},
	{"s3_use_ssl", ""},
	{"s3_verify", "tls"},
	{"s3_aws_access_key_id", "credentials.access_key_id"},
	{"s3_aws_secret_access_key", "credentials.secret_access_key"},
	{"s3_aws_session_token", "credentials.session_token"},
	{"s3_aws_profile_name", "credentials.profile"},
	{"s3_aws_role_name", "credentials.role.arn"},
	{"s3_aws_session_name", "credentials.role.session_name"},
	{"s3_aws_external_id", "credentials.role.external_id"},
	{"s3_aws_web_identity_token", "credentials.role.web_identity_token"},
	{"s3_aws_sts_endpoint", "credentials.sts_endpoint"},
	{"s3_server_side_encryption", "encryption.type"},
	{"s3_sse_kms_key_id", "encryption.kms_key_id"},
	{"s3_max_concurrent_uploads", "concurrency"},
	{"s3_batch_file_upload", "layout"},
	{"s3_partition_granularity", "partition"},
	{"s3_adaptive_concurrency", ""},
	{"s3_max_adaptive_concurrency", ""},
}

// s3Ignored are LiteLLM's parameters without an option here, with the reason.
var s3Ignored = map[string]string{
	"s3_api_version":            "LiteLLM reads it and does nothing with it",
	"s3_config":                 "LiteLLM reads it and does nothing with it",
	"s3_batch_size":             "it concerns LiteLLM's own queue; a callback's chunk does the same here",
	"s3_flush_interval":         "it concerns LiteLLM's own queue; a callback's chunk.age does the same here",
	"s3_use_team_prefix":        "it concerns request logs alone",
	"s3_use_key_prefix":         "it concerns request logs alone",
	"s3_strip_base64_files":     "it concerns request logs alone",
	"s3_log_prompts_only":       "it concerns request logs alone",
	"s3_max_queue_size":         "the relay keeps what waits on disk and drops nothing; journal.quota bounds it",
	"s3_max_retry_age_seconds":  "the relay retries without end and drops nothing by age; retain: {age: 1h, then: dead_letter} on a callback sets aside what waits longer",
	"s3_drop_on_terminal_error": "the relay drops nothing: an event that the bucket refuses for good becomes a dead letter, which can be replayed",
}

// litellmName returns LiteLLM's name of an S3 option, or "" if it has none.
func litellmName(option string) string {
	for _, k := range s3Keys {
		if k.option == option {
			return k.litellm
		}
	}
	return ""
}

// s3 converts LiteLLM's parameters to options of the S3 sink: those in the entry itself, else
// s3_audit_callback_params, else s3_callback_params. It returns nil if there are none.
func (l *litellm) s3(settings, entry, own *node, path string) *node {
	params, key := own, path+"."+litellmS3
	if !own.given() {
		params, key = settings.get(auditParamsKey), litellmSettings+"."+auditParamsKey
		general := settings.get(paramsKey)
		if !params.given() {
			params, key = general, litellmSettings+"."+paramsKey
		} else if general.given() {
			l.report.info(params, "s3_audit_callback_params is used for audit events and s3_callback_params (line %d) is not", general.line)
		}
	}
	if !params.given() {
		l.report.add(entry, path, "s3_v2 has no parameters: give s3_callback_params (or, for audit events alone, s3_audit_callback_params) with s3_bucket_name beside audit_log_callbacks; without, LiteLLM has no bucket to write to either")
		return nil
	}
	if params.kind != kindMapping {
		l.report.add(params, key, "found %v, expected a mapping", params.kind)
		return nil
	}
	out := &node{kind: kindMapping, line: params.line, column: params.column, origin: key}
	l.usualCredentials(params)
	l.all(params, key)

	layout := &node{kind: kindString, text: "litellm", line: params.line, column: params.column, origin: key}
	layout.comments = []string{"One JSON object an event, under the keys that LiteLLM gives them; batch makes", "fewer, compressed objects."}
	out.put(layout, "layout", layout)
	s := &s3Params{litellm: l, params: params, path: key, out: out, layout: layout}
	for i, k := range params.keys {
		s.param(k, params.items[i])
	}
	s.finish()
	l.goesOn(entry, params)
	return out
}

// usualCredentials ignores references for access keys whose variables are not set, as LiteLLM
// does, which then uses the usual AWS credentials. One half of a pair stays an error. So does
// any other parameter: without its endpoint, for example, the file would mean another bucket.
func (l *litellm) usualCredentials(params *node) {
	unset := map[string]*node{}
	for _, name := range []string{"s3_aws_access_key_id", "s3_aws_secret_access_key", "s3_aws_session_token"} {
		n := params.get(name)
		if !n.given() || n.kind != kindString {
			continue
		}
		variable, ok := strings.CutPrefix(n.text, litellmEnv)
		if _, set := l.lookup(variable); !ok || set || l.elsewhere[variable] != 0 || !envName.MatchString(variable) {
			continue
		}
		unset[name] = n
	}
	id, secret := unset["s3_aws_access_key_id"], unset["s3_aws_secret_access_key"]
	if (id == nil) != (secret == nil) || len(unset) == 0 || id == nil && params.get("s3_aws_access_key_id").given() {
		return
	}
	first := id
	for _, n := range unset {
		if first == nil {
			first = n
		}
		n.kind, n.resolved = kindNull, true
	}
	l.report.warn(first, "%s is not set: as in LiteLLM, the usual AWS credentials are used (environment, profile, role of the machine)", strings.TrimPrefix(first.text, litellmEnv))
}

// goesOn warns about what LiteLLM itself does with the same lines.
func (l *litellm) goesOn(entry, params *node) {
	bucket := params.line
	for _, key := range []string{"s3_bucket_name", "s3_path"} {
		if k := params.key(key); k != nil {
			bucket = k.line
		}
	}
	l.report.warn(entry, "where LiteLLM runs with this same file it goes on writing to this bucket and prefix itself, unfiltered: "+
		"in the file that LiteLLM runs with, change line %d (take %s out of audit_log_callbacks) or line %d (another bucket or prefix)", entry.line, litellmS3, bucket)
}

// s3Params converts one table of parameters to options.
type s3Params struct {
	*litellm
	params, out, layout *node
	path                string
	encryption, kmsKey  *node
	granularity         *node

	adaptive, uploadsFrom    *node
	adaptiveUploads, uploads int
}

func (s *s3Params) param(k, n *node) {
	at := join(s.path, k.text)
	n.origin = at
	var option string
	i := slices.IndexFunc(s3Keys, func(x struct{ litellm, option string }) bool { return x.litellm == k.text })
	switch {
	case i >= 0:
		option = s3Keys[i].option
	case s3Ignored[k.text] != "":
		s.report.info(k, "%s is not used: %s", k.text, s3Ignored[k.text])
		return
	case strings.HasPrefix(k.text, "s3_"):
		// Later versions of LiteLLM have more parameters, and their files must still work.
		names := make([]string, len(s3Keys))
		for i, x := range s3Keys {
			names[i] = x.litellm
		}
		if near := hint(k.text, names); near != "" {
			s.report.warn(k, "%s is not known to this version and not used%s", bounded(k.text), near)
		} else {
			s.report.info(k, "%s is not known to this version and not used", bounded(k.text))
		}
		return
	default:
		names := make([]string, len(s3Keys))
		for i, x := range s3Keys {
			names[i] = x.litellm
		}
		s.report.add(k, at, "an unknown key%s", hint(k.text, names))
		return
	}
	if empty(n) {
		return
	}
	if strings.HasPrefix(option, "credentials.role.") && empty(s.params.get("s3_aws_role_name")) {
		s.report.info(k, "%s is not used without s3_aws_role_name: no role is assumed", k.text)
		return
	}
	switch k.text {
	case "s3_path":
		if n.unset || strings.Trim(n.text, "/") != "" {
			s.out.putPath(n, option, n)
		}
	case "s3_endpoint_url":
		s.loops(n, at)
		s.out.putPath(n, option, n)
	case "s3_use_virtual_hosted_style":
		if on, ok := s.bool(n, at); ok && on {
			s.made(n, option, kindString, "virtual")
		}
	case "s3_use_ssl":
		if on, ok := s.bool(n, at); ok && !on && !strings.HasPrefix(s.text("s3_endpoint_url"), "http://") {
			s.report.info(n, "s3_use_ssl is not used, nor is it by LiteLLM: write http:// in s3_endpoint_url where the connection is to be in clear text")
		}
	case "s3_max_concurrent_uploads", "s3_adaptive_concurrency", "s3_max_adaptive_concurrency":
		s.concurrency(k.text, n, at)
	case "s3_aws_external_id":
		s.report.info(n, "s3_aws_external_id is used here; LiteLLM's s3_v2 does not read it")
		s.out.putPath(n, option, n)
	case "s3_verify":
		s.verify(n, at)
	case "s3_aws_web_identity_token":
		s.webIdentity(n, at, option)
	case "s3_server_side_encryption":
		s.encryption = n
	case "s3_sse_kms_key_id":
		s.kmsKey = n
		s.out.putPath(n, option, n)
	case "s3_batch_file_upload":
		s.batch(n, at)
	case "s3_partition_granularity":
		s.granularity = n
	default:
		s.out.putPath(n, option, n)
	}
}

// empty reports whether a parameter is missing. LiteLLM treats an empty value as missing.
func empty(n *node) bool {
	return n == nil || n.kind == kindNull || n.kind == kindString && n.text == "" && !n.unset
}

// text returns the value of another parameter.
func (s *s3Params) text(key string) string {
	if n := s.params.get(key); n != nil {
		return n.text
	}
	return ""
}

// made adds an option whose value is not the parameter's own.
func (s *s3Params) made(n *node, option string, k kind, text string, comments ...string) {
	s.out.putPath(n, option, &node{kind: k, text: text, line: n.line, column: n.column, origin: n.origin, comments: comments})
}

func (s *s3Params) bool(n *node, path string) (value, ok bool) {
	value, ok = n.boolean()
	if !ok && !n.unset {
		s.report.warn(n, "%s: found %v, expected true or false: the default is taken, as LiteLLM does", path, n.kind)
	} else if n.unset {
		s.undecided(n, path)
	}
	return value, ok
}

func (s *s3Params) verify(n *node, path string) {
	if on, ok := n.boolean(); ok {
		if !on {
			s.report.warn(n, "s3_verify is false: any certificate is accepted: an attacker on the path can read the events")
			s.made(n, "tls.insecure_skip_verify", kindBool, "true", "From s3_verify: false. Whoever sits on the path reads the events.")
		}
		return
	}
	if n.kind != kindString {
		s.report.add(n, path, "found %v, expected true, false or the path of a file of certificates", n.kind)
		return
	}
	if n.unset {
		s.undecided(n, path)
		return
	}
	ref := n.text
	if !filepath.IsAbs(ref) && !strings.HasPrefix(ref, "./") && !strings.HasPrefix(ref, "../") {
		ref = "./" + ref
	}
	text, err := s.file(ref)
	if err != nil && !s.lenient {
		s.report.addError(n, path, n.veil(err))
	}
	s.out.putPath(n, "tls.ca", &node{kind: kindString, text: text, ref: "file:" + ref, resolved: true, line: n.line, column: n.column, origin: n.origin,
		comments: []string{"From s3_verify: the file's certificates in place of the system's."}})
}

func (s *s3Params) webIdentity(n *node, path, option string) {
	switch {
	case n.unset:
		s.undecided(n, path)
	case strings.HasPrefix(n.text, "oidc/"):
		s.report.add(n, path, "tokens fetched by LiteLLM (oidc/...) are not in this version: give the token itself or the path of a file that holds it")
	case filepath.IsAbs(n.text):
		s.out.putPath(n, "credentials.role.web_identity_token_file", n)
	default:
		s.out.putPath(n, option, n)
	}
}

// batch uses the native layout, since the names of LiteLLM's batches have a random part: a
// batch that is sent again after a crash would exist twice.
func (s *s3Params) batch(n *node, path string) {
	on, ok := s.bool(n, path)
	if !ok || !on {
		return
	}
	s.layout.text, s.layout.line, s.layout.column, s.layout.origin = "batch", n.line, n.column, n.origin
	s.layout.comments = []string{
		"From s3_batch_file_upload: many events an object. The keys are the relay's own,",
		"dt=.../hour=...: LiteLLM's batch names hold a random part, and a batch sent again",
		"after a crash would be there twice.",
	}
	s.report.info(n, "s3_batch_file_upload becomes layout batch: compressed NDJSON under dt=YYYY-MM-DD/hour=HH/, since LiteLLM's random batch names would double what is sent again")
}

// partition follows the granularity of the folders, which a variable can also set.
func (s *s3Params) partition(n *node) {
	var text string
	from := s.params
	if n != nil {
		from, text = n, n.scalar()
	} else if value, set := s.variable("S3_PARTITION_GRANULARITY"); set != nil {
		from, text = set, value
	} else {
		text = value
	}
	switch {
	case n != nil && n.unset:
		s.undecided(n, join(s.path, "s3_partition_granularity"))
	case text == "hour" && s.layout.text == "litellm":
		s.made(from, "partition", kindString, "hour", "From s3_partition_granularity: hour.")
	case text != "hour" && text != "day" && (text != "" || n != nil):
		s.report.warn(from, "s3_partition_granularity: expected day or hour: day is taken, as LiteLLM does")
	}
}

// LiteLLM's own defaults.
const (
	litellmAdaptiveUploads = 200
	mostUploads            = 256 // the sink's maximum
)

// concurrency collects the parameters for the number of parallel uploads.
func (s *s3Params) concurrency(key string, n *node, path string) {
	if n.ref != "" && key == "s3_max_concurrent_uploads" {
		s.out.putPath(n, "concurrency", n) // a reference stays a reference
		return
	}
	if n.unset {
		s.undecided(n, path)
		return
	}
	if key == "s3_adaptive_concurrency" {
		if on, ok := s.bool(n, path); ok && on {
			s.adaptive = n
		}
		return
	}
	count, err := strconv.Atoi(strings.TrimSpace(n.text))
	if err != nil || count < 1 {
		s.report.warn(n, "%s: expected a whole number from 1: the default is taken, as LiteLLM does", path)
		return
	}
	if key == "s3_max_adaptive_concurrency" {
		s.adaptiveUploads = count
		return
	}
	s.uploads, s.uploadsFrom = count, n
}

// finishConcurrency writes the option. The sink always adapts: it halves the number at SlowDown
// and increases it again later.
func (s *s3Params) finishConcurrency() {
	from, count := s.uploadsFrom, s.uploads
	if s.adaptive != nil {
		from, count = s.adaptive, s.adaptiveUploads
		if count == 0 {
			count = litellmAdaptiveUploads
		}
		s.report.info(from, "s3_adaptive_concurrency: the relay's uploads always adapt: from the most at a time they are halved while the bucket asks for less, and grow again")
	}
	if from == nil {
		return
	}
	if count > mostUploads {
		s.report.warn(from, "%d uploads at a time are more than the relay makes: it makes %d", count, mostUploads)
		count = mostUploads
	}
	s.made(from, "concurrency", kindInt, strconv.Itoa(count))
}

// finish writes the options that depend on more than one parameter.
func (s *s3Params) finish() {
	s.partition(s.granularity)
	s.finishConcurrency()
	const path = "encryption.type"
	n := s.encryption
	if n == nil {
		if s.kmsKey != nil {
			s.made(s.kmsKey, path, kindString, "kms", "Since s3_sse_kms_key_id names a key.")
		}
		return
	}
	switch {
	case n.unset:
		s.undecided(n, n.origin)
	case n.text == "AES256":
		s.made(n, path, kindString, "s3", "From s3_server_side_encryption: AES256.")
	case n.text == "aws:kms":
		s.made(n, path, kindString, "kms", "From s3_server_side_encryption: aws:kms.")
	default:
		s.report.add(n, n.origin, "found %s, expected AES256 or aws:kms", n.kind)
	}
}
