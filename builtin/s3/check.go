package s3

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"auditrelay"
	"auditrelay/builtin/internal/objects"

	"github.com/aws/aws-sdk-go-v2/service/s3/types"
)

// S3's own limits.
const (
	maxPrefixBytes  = 512 // a key has 1024; the rest is the sink's
	maxObjectBytes  = 5 << 30
	maxTags         = 10
	maxTagKeyRunes  = 128
	maxTagRunes     = 256
	maxConcurrency  = 256
	minRoleDuration = 15 * time.Minute
	maxRoleDuration = 12 * time.Hour
)

var (
	bucketName   = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	bucketARN    = regexp.MustCompile(`^arn:aws[a-z-]*:s3[a-z-]*:[a-z0-9-]*:[0-9]*:[A-Za-z0-9/:._-]+$`)
	storageClass = regexp.MustCompile(`^[A-Z][A-Z0-9_]{0,63}$`)
	accountID    = regexp.MustCompile(`^[0-9]{12}$`)
	roleARN      = regexp.MustCompile(`^arn:[a-z0-9-]+:(iam|sts)::[0-9]*:role/.+$`)
	sessionName  = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{2,64}$`)
)

// problems collects the errors of all invalid options.
type problems []error

func (p *problems) add(path, format string, args ...any) {
	*p = append(*p, &auditrelay.OptionError{Path: path, Err: fmt.Errorf(format, args...)})
}

// oneOf adds an error for a value that is not allowed.
func (p *problems) oneOf(path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		p.add(path, "%q is not known: expected one of %s", bounded(value), strings.Join(allowed, ", "))
	}
}

// check returns an error for each invalid option of o, joined. Defaults must be filled in.
func (o Options) check() error {
	var p problems
	switch {
	case o.Bucket == "":
		p.add("bucket", "it is required")
	case !bucketName.MatchString(o.Bucket) && !bucketARN.MatchString(o.Bucket):
		p.add("bucket", "%q is not a bucket name: expected 3 to 63 of a-z, 0-9, dot and hyphen, or an ARN", bounded(o.Bucket))
	}
	if err := checkPrefix(o.Prefix); err != nil {
		p.add("prefix", "%w", err)
	}
	p.oneOf("layout", o.Layout, LayoutBatch, LayoutLiteLLM)
	if o.Layout == LayoutLiteLLM {
		p.oneOf("partition", o.Partition, PartitionDay, PartitionHour)
	} else if o.Partition != "" {
		p.add("partition", "it is only for layout litellm: layout batch always has folders by hour")
	}
	if o.Layout == LayoutLiteLLM && o.Compression != CompressionNone {
		p.add("compression", "objects of layout litellm are plain JSON: leave it out or write none")
	} else {
		p.oneOf("compression", o.Compression, CompressionGzip, CompressionZstd, CompressionNone)
	}
	if o.MaxObjectBytes < 0 || o.MaxObjectBytes > maxObjectBytes {
		p.add("max_object_bytes", "it is out of range: expected at most %v, the limit of one put", auditrelay.ByteSize(maxObjectBytes))
	}
	if o.MaxEventAge < 0 {
		p.add("max_event_age", "it is negative")
	}
	if o.MaxEventAhead < 0 {
		p.add("max_event_ahead", "it is negative")
	}
	if o.VerifyExisting && o.Layout == LayoutBatch {
		p.add("verify_existing", "it is only for layout litellm: the keys of layout batch contain the content's digest")
	}
	if o.VerifyExisting && !*o.Conditional {
		p.add("verify_existing", "it needs conditional puts, which are off")
	}
	p.oneOf("checksum", o.Checksum, ChecksumSHA256, ChecksumCRC32C, ChecksumMD5, ChecksumNone)
	o.checkStorage(&p)
	o.checkConnection(&p)
	o.Credentials.check(&p)
	return errors.Join(p...)
}

func (o Options) checkStorage(p *problems) {
	switch e := o.Encryption; e.Type {
	case "", "s3":
		if e.KMSKeyID != "" {
			p.add("encryption.kms_key_id", "it needs type kms")
		}
		if e.BucketKey {
			p.add("encryption.bucket_key", "it needs type kms")
		}
	default:
		p.oneOf("encryption.type", e.Type, "s3", "kms")
	}
	switch l := o.ObjectLock; {
	case l.Mode == "" && l.RetainFor != 0:
		p.add("object_lock.mode", "it is required with retain_for: governance or compliance")
	case l.Mode != "":
		p.oneOf("object_lock.mode", l.Mode, "governance", "compliance")
		if l.RetainFor < time.Minute {
			p.add("object_lock.retain_for", "it must be at least 1m")
		}
	}
	if o.StorageClass != "" && !storageClass.MatchString(o.StorageClass) {
		p.add("storage_class", "%q is not a storage class: expected a name such as STANDARD_IA", bounded(o.StorageClass))
	}
	if len(o.Tags) > maxTags {
		p.add("tags", "there are %d: S3 takes at most %d", len(o.Tags), maxTags)
	}
	for key, value := range o.Tags {
		if key == "" || utf8.RuneCountInString(key) > maxTagKeyRunes || utf8.RuneCountInString(value) > maxTagRunes {
			p.add("tags", "tag %q: a key has 1 to %d characters, a value up to %d", bounded(key), maxTagKeyRunes, maxTagRunes)
		}
	}
	if o.ACL != "" {
		var known []string
		for _, v := range types.ObjectCannedACL("").Values() {
			known = append(known, string(v))
		}
		p.oneOf("acl", o.ACL, known...)
	}
	if o.ExpectedBucketOwner != "" && !accountID.MatchString(o.ExpectedBucketOwner) {
		p.add("expected_bucket_owner", "%q is not an account: expected 12 digits", bounded(o.ExpectedBucketOwner))
	}
}

func (o Options) checkConnection(p *problems) {
	checkURL(p, "endpoint", o.Endpoint)
	p.oneOf("addressing", o.Addressing, AddressingVirtual, AddressingPath)
	if o.TLS.CA != "" {
		if !x509.NewCertPool().AppendCertsFromPEM([]byte(o.TLS.CA)) {
			p.add("tls.ca", "it contains no PEM certificate")
		}
		if o.TLS.InsecureSkipVerify {
			p.add("tls.insecure_skip_verify", "ca would have no effect: leave one of the two out")
		}
	}
	if o.Concurrency < 1 || o.Concurrency > maxConcurrency {
		p.add("concurrency", "%d is out of range: expected 1 to %d", o.Concurrency, maxConcurrency)
	}
	if o.RequestTimeout < time.Second {
		p.add("request_timeout", "%v is too short: expected at least 1s", o.RequestTimeout)
	}
}

func (c Credentials) check(p *problems) {
	if (c.AccessKeyID == "") != (c.SecretAccessKey == "") {
		p.add("credentials.secret_access_key", "give both access_key_id and secret_access_key, or neither")
	}
	if c.SessionToken != "" && c.AccessKeyID == "" {
		p.add("credentials.session_token", "it needs access_key_id and secret_access_key")
	}
	if c.AccessKeyID != "" && (c.Profile != "" || c.SharedFile != "") {
		p.add("credentials.access_key_id", "a static key and a profile exclude each other")
	}
	checkURL(p, "credentials.sts_endpoint", c.STSEndpoint)
	r := c.Role
	if r.ARN == "" {
		if r.ExternalID != "" || r.Duration != 0 || r.WebIdentityToken != "" || r.WebIdentityTokenFile != "" {
			p.add("credentials.role.arn", "it is required with the role's other options")
		}
	} else if !roleARN.MatchString(r.ARN) {
		p.add("credentials.role.arn", "%q is not a role: expected arn:aws:iam::<account>:role/<name>", bounded(r.ARN))
	}
	if !sessionName.MatchString(r.SessionName) {
		p.add("credentials.role.session_name", "%q: expected 2 to 64 letters, digits and any of _+=,.@-", bounded(r.SessionName))
	}
	if r.Duration != 0 && (r.Duration < minRoleDuration || r.Duration > maxRoleDuration) {
		p.add("credentials.role.duration", "%v is out of range: expected %v to %v", r.Duration, minRoleDuration, maxRoleDuration)
	}
	if r.WebIdentityToken != "" && r.WebIdentityTokenFile != "" {
		p.add("credentials.role.web_identity_token", "it and web_identity_token_file exclude each other")
	}
	if r.ExternalID != "" && (r.WebIdentityToken != "" || r.WebIdentityTokenFile != "") {
		p.add("credentials.role.external_id", "STS does not accept it with a web identity")
	}
}

func checkURL(p *problems, path, value string) {
	if value == "" {
		return
	}
	u, err := url.Parse(value)
	if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		p.add(path, "not an endpoint: expected http://host:port or https://host:port, without user or query")
	}
}

// checkPrefix returns an error if prefix cannot be the prefix of a key.
func checkPrefix(prefix string) error {
	switch {
	case prefix == "":
		return nil
	case len(prefix) > maxPrefixBytes:
		return fmt.Errorf("it has %d bytes: at most %d leave room for the key", len(prefix), maxPrefixBytes)
	case !utf8.ValidString(prefix):
		return errors.New("it is not valid UTF-8")
	case strings.IndexFunc(prefix, unicode.IsControl) >= 0:
		return errors.New("it contains a control character")
	case strings.ContainsAny(prefix, "{}"):
		return errors.New("it contains braces, but a prefix is literal and has no placeholders")
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(prefix, "/"), "/") {
		switch {
		case part == "" || part == "." || part == "..":
			return errors.New(`it contains an empty folder, "." or "..": stores treat these differently`)
		case part == objects.ManifestFolder || part == objects.ProbeFolder || strings.HasPrefix(part, objects.ReplayFolder):
			return fmt.Errorf("the folder %q is reserved for the sink's own objects", bounded(part))
		}
	}
	return nil
}

// bounded cuts a text that an error quotes.
func bounded(s string) string {
	const most = 80
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}
