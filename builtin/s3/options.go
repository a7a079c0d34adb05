package s3

import (
	"time"

	"auditrelay"
)

// Options configure the S3 sink. Only the bucket has no default.
type Options struct {
	// Bucket is the bucket's name. Required.
	Bucket string `yaml:"bucket"`

	// Region is the bucket's region. Default: from the AWS chain (AWS_REGION, the
	// profile); us-east-1 if endpoint is set, since other stores rarely have regions.
	Region string `yaml:"region"`

	// Prefix is the folder of every key. It is literal: there are no placeholders, and
	// events cannot choose a folder. Default: none.
	Prefix string `yaml:"prefix"`

	// Layout is batch (one compressed NDJSON object for each hour of a chunk) or
	// litellm (one JSON object an event, under the keys of LiteLLM's s3_v2).
	// Default: batch, since S3 bills by the request.
	Layout string `yaml:"layout"`

	// Partition of layout litellm: a folder a day, or below it one an hour, as newer
	// versions of LiteLLM can make them. Layout batch always has folders by hour.
	// Default: day.
	Partition string `yaml:"partition"`

	// Compression of batch objects: gzip, zstd or none. Default: gzip, since
	// everything reads it. Objects of layout litellm are never compressed.
	Compression string `yaml:"compression"`

	// MaxObjectBytes limits a batch object before compression; the rest goes into
	// further objects. Default: 64MiB.
	MaxObjectBytes auditrelay.ByteSize `yaml:"max_object_bytes"`

	// MaxEventAge is how old an event may be at its receipt and still be filed under
	// the hour of its own time. An older event is filed under the hour of its
	// receipt, in an object whose metadata says so. Default: 720h, so that a wrong
	// clock cannot scatter events over thousands of folders.
	MaxEventAge time.Duration `yaml:"max_event_age"`

	// MaxEventAhead is the same for an event time after the receipt. Default: 24h.
	MaxEventAhead time.Duration `yaml:"max_event_ahead"`

	// Conditional sends If-None-Match: * so that a put never overwrites an object.
	// Default: true. Set false for stores without this header.
	Conditional *bool `yaml:"conditional"`

	// VerifyExisting compares an existing object under a key of layout litellm, with
	// a HEAD request (needs s3:GetObject). A different object is a refusal. Default:
	// false, so that s3:PutObject is enough; the receipt then says unverified.
	VerifyExisting bool `yaml:"verify_existing"`

	// Checksum with which the store checks every put: sha256 or crc32c (S3's own
	// headers), md5 (Content-MD5, which older stores know) or none. Default: sha256.
	Checksum string `yaml:"checksum"`

	// ContentEncoding says whether a compressed object carries a Content-Encoding,
	// so that clients decompress what they download. Default: true. Set false for
	// stores or proxies that decompress by themselves; the type is then that of the
	// compressed file, as in application/gzip.
	ContentEncoding *bool `yaml:"content_encoding"`

	// Encryption at rest. Default: the bucket's own.
	Encryption Encryption `yaml:"encryption"`

	// ObjectLock sets the retention of every object. Default: the bucket's own.
	ObjectLock ObjectLock `yaml:"object_lock"`

	// StorageClass, such as STANDARD_IA. Default: the bucket's own.
	StorageClass string `yaml:"storage_class"`

	// Tags are put on every object (needs s3:PutObjectTagging). At most 10.
	Tags map[string]string `yaml:"tags"`

	// ACL is a canned ACL, such as bucket-owner-full-control (needs
	// s3:PutObjectAcl). Default: none.
	ACL string `yaml:"acl"`

	// ExpectedBucketOwner is the account that must own the bucket; S3 refuses
	// the request otherwise. Default: not checked.
	ExpectedBucketOwner string `yaml:"expected_bucket_owner"`

	// Endpoint is the URL of an S3 store other than AWS. Default: AWS.
	Endpoint string `yaml:"endpoint"`

	// Addressing is how the bucket is named: virtual (in the host name) or path.
	// Default: path where an endpoint is set, virtual otherwise.
	Addressing string `yaml:"addressing"`

	// TLS of the connection to S3 and STS.
	TLS TLS `yaml:"tls"`

	// Credentials. Default: the AWS chain (environment, shared files, SSO, web
	// identity, container and instance roles).
	Credentials Credentials `yaml:"credentials"`

	// Concurrency is the maximum number of parallel puts. It is halved while S3
	// answers SlowDown, and grows again. Default: 4.
	Concurrency int `yaml:"concurrency"`

	// RequestTimeout limits one request, including the transfer of its body. Default:
	// 60s.
	RequestTimeout time.Duration `yaml:"request_timeout"`
}

// Encryption at rest, by the server.
type Encryption struct {
	// Type is s3 (SSE-S3, AES256) or kms (SSE-KMS). Default: the bucket's own.
	Type string `yaml:"type"`
	// KMSKeyID is the key's id or ARN (needs kms:GenerateDataKey on it).
	// Default: the account's aws/s3 key.
	KMSKeyID string `yaml:"kms_key_id"`
	// BucketKey uses a bucket key, which saves most calls to KMS.
	BucketKey bool `yaml:"bucket_key"`
}

// ObjectLock protects objects from deletion and overwriting.
type ObjectLock struct {
	// Mode is governance or compliance (needs s3:PutObjectRetention).
	Mode string `yaml:"mode"`
	// RetainFor is the time from the put.
	RetainFor time.Duration `yaml:"retain_for"`
}

// TLS of the sink's connections.
type TLS struct {
	// CA holds PEM certificates to trust instead of the system's.
	CA string `yaml:"ca"`
	// InsecureSkipVerify accepts any certificate: an attacker on the path can then
	// read the events. Default: false.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// Credentials name who writes. Everything is empty by default: the AWS chain.
// After a refusal that may come from them, and when the callback is resumed or
// the configuration reloaded, the chain and its files are read again: a rotated
// secret needs no restart.
type Credentials struct {
	// AccessKeyID of a static key.
	AccessKeyID string `yaml:"access_key_id"`
	// SecretAccessKey of a static key.
	SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
	// SessionToken of a temporary static key.
	SessionToken auditrelay.Secret `yaml:"session_token"`
	// Profile in the shared configuration files.
	Profile string `yaml:"profile"`
	// SharedFile is a credentials file in AWS's format, instead of
	// ~/.aws/credentials.
	SharedFile string `yaml:"shared_file"`
	// Role is a role to assume with the credentials above.
	Role Role `yaml:"role"`
	// STSEndpoint is the URL of an STS other than the region's.
	STSEndpoint string `yaml:"sts_endpoint"`
}

// Role is assumed through STS.
type Role struct {
	// ARN of the role.
	ARN string `yaml:"arn"`
	// ExternalID that the role's trust policy asks for.
	ExternalID string `yaml:"external_id"`
	// SessionName appears in CloudTrail. Default: auditrelay.
	SessionName string `yaml:"session_name"`
	// Duration of a session. Default: STS's own (1h).
	Duration time.Duration `yaml:"duration"`
	// WebIdentityToken is a token for assuming the role, instead of credentials.
	WebIdentityToken auditrelay.Secret `yaml:"web_identity_token"`
	// WebIdentityTokenFile is the same from a file, read again for each session.
	WebIdentityTokenFile string `yaml:"web_identity_token_file"`
}

// The values of Layout, Compression, Checksum and Addressing.
const (
	LayoutBatch   = "batch"
	LayoutLiteLLM = "litellm"

	PartitionDay  = "day"
	PartitionHour = "hour"

	CompressionGzip = "gzip"
	CompressionZstd = "zstd"
	CompressionNone = "none"

	ChecksumSHA256 = "sha256"
	ChecksumCRC32C = "crc32c"
	ChecksumMD5    = "md5"
	ChecksumNone   = "none"

	AddressingVirtual = "virtual"
	AddressingPath    = "path"
)

// withDefaults fills in what is documented as the default.
func (o Options) withDefaults() Options {
	o.Layout = or(o.Layout, LayoutBatch)
	if o.Layout == LayoutLiteLLM {
		o.Compression = or(o.Compression, CompressionNone)
	}
	o.Compression = or(o.Compression, CompressionGzip)
	if o.Layout == LayoutLiteLLM {
		o.Partition = or(o.Partition, PartitionDay)
	}
	o.MaxObjectBytes = or(o.MaxObjectBytes, 64<<20)
	o.MaxEventAge = or(o.MaxEventAge, 30*24*time.Hour)
	o.MaxEventAhead = or(o.MaxEventAhead, 24*time.Hour)
	if o.Conditional == nil {
		conditional := true
		o.Conditional = &conditional
	}
	o.Checksum = or(o.Checksum, ChecksumSHA256)
	if o.ContentEncoding == nil {
		encoding := true
		o.ContentEncoding = &encoding
	}
	if o.Endpoint != "" {
		o.Region = or(o.Region, "us-east-1")
		o.Addressing = or(o.Addressing, AddressingPath)
	}
	o.Addressing = or(o.Addressing, AddressingVirtual)
	o.Concurrency = or(o.Concurrency, 4)
	o.RequestTimeout = or(o.RequestTimeout, time.Minute)
	o.Credentials.Role.SessionName = or(o.Credentials.Role.SessionName, "auditrelay")
	return o
}

func or[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}
