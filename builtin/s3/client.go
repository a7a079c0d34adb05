package s3

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"

	"auditrelay"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// maxAnswerBytes limits how much of a response is read. S3's own have a few hundred bytes.
const maxAnswerBytes = 1 << 20

// connect loads the AWS chain for o and creates a client without retries. The engine retries,
// with its own timing and counts.
func connect(ctx context.Context, o Options) (*s3.Client, error) {
	cfg, err := config.LoadDefaultConfig(ctx, loadOptions(o)...)
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, &credentialsError{err}
	}
	if cfg.Region == "" {
		return nil, &auditrelay.DeliveryError{Kind: auditrelay.Misconfigured,
			Err: errors.New("connect to S3: no region: set region, AWS_REGION or the profile's")}
	}
	cfg.HTTPClient = boundedAnswers{direct(cfg.HTTPClient)}
	cfg.Credentials = namedErrors{provider(cfg, o.Credentials)}
	return s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.APIOptions = append(so.APIOptions, signLess)
		so.UsePathStyle = o.Addressing == AddressingPath
		// Checksums are sealed with the payload, so the client adds none.
		so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if o.Endpoint != "" {
			so.BaseEndpoint = aws.String(o.Endpoint)
		}
	}), nil
}

// signLess removes the headers that the client adds for itself from each request. The client
// would sign them, but front ends of stores other than AWS rewrite or ignore them. Google's
// front end changes Accept-Encoding, so that no signature matched.
func signLess(stack *middleware.Stack) error {
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("SignLess",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				for _, name := range []string{"Accept-Encoding", "Amz-Sdk-Invocation-Id", "Amz-Sdk-Request"} {
					r.Header.Del(name)
				}
			}
			return next.HandleFinalize(ctx, in)
		}), "Signing", middleware.Before)
}

func loadOptions(o Options) []func(*config.LoadOptions) error {
	c := o.Credentials
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		config.WithHTTPClient(httpClient(o)),
		config.WithAppID("auditrelay"),
		config.WithLogger(logging.LoggerFunc(logged)),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	if c.Profile != "" {
		load = append(load, config.WithSharedConfigProfile(c.Profile))
	}
	if c.SharedFile != "" {
		load = append(load, config.WithSharedCredentialsFiles([]string{c.SharedFile}))
	}
	if c.AccessKeyID != "" {
		load = append(load, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(
			c.AccessKeyID, c.SecretAccessKey.Reveal(), c.SessionToken.Reveal())))
	}
	return load
}

// logged writes a message of the client to the process's log at a low level. Its warnings
// repeat with every attempt, and the error of a delivery is reported once anyway.
func logged(_ logging.Classification, format string, args ...any) {
	slog.Debug("the S3 client: "+fmt.Sprintf(format, args...), "sink", "s3")
}

func httpClient(o Options) *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.DisableCompression = true // objects and responses stay as they are
		t.MaxIdleConnsPerHost = max(t.MaxIdleConnsPerHost, o.Concurrency)
		if t.TLSClientConfig == nil {
			t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		}
		t.TLSClientConfig.InsecureSkipVerify = o.TLS.InsecureSkipVerify
		if o.TLS.CA != "" {
			pool := x509.NewCertPool()
			pool.AppendCertsFromPEM([]byte(o.TLS.CA)) // already checked with the options
			t.TLSClientConfig.RootCAs = pool
		}
	})
}

// direct returns client without redirects. The SDK's client follows those of GET and HEAD, so a
// host that an answer names could say that an object is there.
func direct(client aws.HTTPClient) aws.HTTPClient {
	built, ok := client.(*awshttp.BuildableClient)
	if !ok {
		return client
	}
	return &http.Client{
		Transport:     built.GetTransport(),
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// provider returns the chain's own provider, or one for the role to assume with it.
func provider(cfg aws.Config, c Credentials) aws.CredentialsProvider {
	r := c.Role
	if r.ARN == "" {
		return cfg.Credentials
	}
	client := sts.NewFromConfig(cfg, func(so *sts.Options) {
		if c.STSEndpoint != "" {
			so.BaseEndpoint = aws.String(c.STSEndpoint)
		}
	})
	var p aws.CredentialsProvider
	if r.WebIdentityToken != "" || r.WebIdentityTokenFile != "" {
		var token stscreds.IdentityTokenRetriever = stscreds.IdentityTokenFile(r.WebIdentityTokenFile)
		if r.WebIdentityToken != "" {
			token = givenToken(r.WebIdentityToken)
		}
		p = stscreds.NewWebIdentityRoleProvider(client, r.ARN, token, func(o *stscreds.WebIdentityRoleOptions) {
			o.RoleSessionName = r.SessionName
			o.Duration = r.Duration
		})
	} else {
		p = stscreds.NewAssumeRoleProvider(client, r.ARN, func(o *stscreds.AssumeRoleOptions) {
			o.RoleSessionName = r.SessionName
			o.Duration = r.Duration
			if r.ExternalID != "" {
				o.ExternalID = aws.String(r.ExternalID)
			}
		})
	}
	return aws.NewCredentialsCache(p)
}

type givenToken auditrelay.Secret

func (t givenToken) GetIdentityToken() ([]byte, error) { return []byte(t), nil }

// credentialsError distinguishes a failure to get credentials from a failed request.
type credentialsError struct{ err error }

// Error leaves out the words of a service, such as STS: it may quote the request.
func (e *credentialsError) Error() string {
	operation, ok := errors.AsType[*smithy.OperationError](e.err)
	if code := errorCode(e.err); ok && code != "" {
		return fmt.Sprintf("get credentials: %s %s: the service answered %d %s", operation.Service(), operation.Operation(), status(e.err), code)
	}
	return "get credentials: " + e.err.Error()
}

func (e *credentialsError) Unwrap() error { return e.err }

type namedErrors struct{ aws.CredentialsProvider }

func (n namedErrors) Retrieve(ctx context.Context) (aws.Credentials, error) {
	if n.CredentialsProvider == nil {
		return aws.Credentials{}, &credentialsError{errors.New("none are configured")}
	}
	c, err := n.CredentialsProvider.Retrieve(ctx)
	if err != nil {
		return c, &credentialsError{err}
	}
	return c, nil
}

// boundedAnswers limits how much of a response the client reads.
type boundedAnswers struct{ aws.HTTPClient }

func (b boundedAnswers) Do(r *http.Request) (*http.Response, error) {
	answer, err := b.HTTPClient.Do(r)
	if answer != nil && answer.Body != nil {
		answer.Body = boundedBody{io.LimitReader(answer.Body, maxAnswerBytes), answer.Body}
	}
	return answer, err
}

type boundedBody struct {
	io.Reader
	io.Closer
}
