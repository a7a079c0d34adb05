package s3

import (
	"testing"

	"auditrelay/cli/internal/sources"
	"auditrelay/cli/internal/sources/sourcetest"
	"auditrelay/runtime"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"strings"
)

func TestTheEndpointIsASource(t *testing.T) {
	const configured = "ingest: {s3: {listen: '127.0.0.1:0', hold: 0s, keys: [{name: litellm, access_key_id: " + testID + ", secret_access_key: '" + testSecret + "'}]}}\n"
	sourcetest.Run(t, sourcetest.Subject{
		New:        func(_ *testing.T, host *sources.Host, _ *runtime.Runtime) sources.Source { return NewSource(host, nil) },
		Check:      Check,
		Configured: configured,
		Without:    "ingest: {}\n",
		Bad:        "ingest: {s3: {listen: '127.0.0.1:0', keys: []}}\n",
		Sender:     "litellm",
		Send: func(t *testing.T, from sources.Source, id string) error {
			client := s3.New(s3.Options{
				BaseEndpoint: aws.String("http://" + from.(*Source).listener.Addr().String()), Region: "us-west-2", UsePathStyle: true, RetryMaxAttempts: 1,
				Credentials: credentials.NewStaticCredentialsProvider(testID, testSecret, ""),
			})
			_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: aws.String(testKey), Body: strings.NewReader(event(id))})
			return err
		},
	})
}
