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

	// Layout is batch (one compressed NDJSON object for each hour of a chunk) or litellm (one
	// JSON object an event, under the keys of LiteLLM's s3_v2). Default: batch, since S3 bills
	// by the request.
	Layout string `yaml:"layout"`

	// Partition is the folders of layout litellm: day, or hour for a further folder an hour, as
	// newer versions of LiteLLM can make them. Layout batch always has folders by hour.
	// Default: day.
	Partition string `yaml:"partition"`

	// Compression is the compression of batch objects: gzip, zstd or none. Default: gzip, since
	// everything reads it. Objects of layout litellm are never compressed.
	Compression string `yaml:"compression"`

	// MaxObjectBytes limits a batch object before compression; the rest goes into
	// further objects. Default: 64MiB.
	MaxObjectBytes auditrelay.ByteSize `yaml:"max_object_bytes"`

	// MaxEventAge is the maximum age of an event at its receipt for using the hour of its own
	// time. An older event is stored under the hour of its receipt, in an object whose metadata
	// says so. Default: 720h, so that a wrong clock cannot scatter events over thousands of
	// folders.
	MaxEventAge time.Duration `yaml:"max_event_age"`

	// MaxEventAhead is the same limit for an event time after the receipt. Default: 24h.
	MaxEventAhead time.Duration `yaml:"max_event_ahead"`

	// Conditional sends If-None-Match: * so that a put never overwrites an object.
	// Default: true. Set false for stores without this header.
	Conditional *bool `yaml:"conditional"`

	// VerifyExisting compares an existing object under a key of layout litellm, with a HEAD
	// request (needs s3:GetObject). A different object is a permanent failure. Default: false,
	// so that s3:PutObject is enough; the receipt then says unverified.
	VerifyExisting bool `yaml:"verify_existing"`

	// Checksum is the checksum with which the store checks every put: sha256 or crc32c (S3's
	// own headers), md5 (Content-MD5, which older stores know) or none. Default: sha256.
	Checksum string `yaml:"checksum"`

	// ContentEncoding adds a Content-Encoding to a compressed object, so that clients
	// decompress their downloads. Default: true. Set false for stores or proxies that
	// decompress by themselves; the type is then that of the compressed file, as in
	// application/gzip.
	ContentEncoding *bool `yaml:"content_encoding"`

	// Encryption is the encryption at rest. Default: the bucket's own.
	Encryption Encryption `yaml:"encryption"`

	// ObjectLock sets the retention of every object. Default: the bucket's own.
	ObjectLock ObjectLock `yaml:"object_lock"`

	// StorageClass is the objects' storage class, such as STANDARD_IA. Default: the bucket's
	// own.
	StorageClass string `yaml:"storage_class"`

	// Tags are put on every object (needs s3:PutObjectTagging). At most 10.
	Tags map[string]string `yaml:"tags"`

	// ACL is a canned ACL, such as bucket-owner-full-control (needs
	// s3:PutObjectAcl). Default: none.
	ACL string `yaml:"acl"`

	// ExpectedBucketOwner is the account that must own the bucket; otherwise S3 rejects the
	// request. Default: not checked.
	ExpectedBucketOwner string `yaml:"expected_bucket_owner"`

	// Endpoint is the URL of an S3 store other than AWS. Default: AWS.
	Endpoint string `yaml:"endpoint"`

	// Addressing is how the bucket is named: virtual (in the host name) or path. Default: path
	// where an endpoint is set, virtual otherwise.
	Addressing string `yaml:"addressing"`

	// TLS configures the connections to S3 and STS.
	TLS TLS `yaml:"tls"`

	// Credentials are the credentials of the writer. Default: the AWS chain (environment,
	// shared files, SSO, web identity, container and instance roles).
	Credentials Credentials `yaml:"credentials"`

	// Concurrency is the maximum number of parallel puts. It is halved while S3
	// answers SlowDown, and grows again. Default: 4.
	Concurrency int `yaml:"concurrency"`

	// RequestTimeout limits one request, including the transfer of its body. Default:
	// 60s.
	RequestTimeout time.Duration `yaml:"request_timeout"`
}

// Encryption configures the server's encryption at rest.
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

// TLS configures the sink's connections.
type TLS struct {
	// CA holds PEM certificates to trust instead of the system's.
	CA string `yaml:"ca"`
	// InsecureSkipVerify accepts any certificate: an attacker on the path can then
	// read the events. Default: false.
	InsecureSkipVerify bool `yaml:"insecure_skip_verify"`
}

// Credentials are the credentials of the writer. All fields are empty by default: the AWS
// chain. The sink reads the chain and its files again after a refusal that they may have
// caused, and when the callback is resumed or the configuration reloaded. So a rotated secret
// needs no restart.
type Credentials struct {
	// AccessKeyID is the id of a static key.
	AccessKeyID string `yaml:"access_key_id"`
	// SecretAccessKey is the secret of a static key.
	SecretAccessKey auditrelay.Secret `yaml:"secret_access_key"`
	// SessionToken is the session token of a temporary static key.
	SessionToken auditrelay.Secret `yaml:"session_token"`
	// Profile is the profile in the shared configuration files.
	Profile string `yaml:"profile"`
	// SharedFile is a credentials file in AWS's format, instead of
	// ~/.aws/credentials.
	SharedFile string `yaml:"shared_file"`
	// Role is a role to assume with the credentials above.
	Role Role `yaml:"role"`
	// STSEndpoint is the URL of an STS other than the region's.
	STSEndpoint string `yaml:"sts_endpoint"`
}

// Role is a role to assume with STS.
type Role struct {
	// ARN is the role's ARN.
	ARN string `yaml:"arn"`
	// ExternalID is the external id that the role's trust policy requires.
	ExternalID string `yaml:"external_id"`
	// SessionName appears in CloudTrail. Default: auditrelay.
	SessionName string `yaml:"session_name"`
	// Duration is the duration of a session. Default: STS's own (1h).
	Duration time.Duration `yaml:"duration"`
	// WebIdentityToken is a token for assuming the role, instead of credentials.
	WebIdentityToken auditrelay.Secret `yaml:"web_identity_token"`
	// WebIdentityTokenFile is a file with such a token. It is read again for each session.
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

// withDefaults returns o with the defaults filled in.
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
