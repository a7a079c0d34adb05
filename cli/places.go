package cli

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// folder is a folder with delivered data.
type folder string

// List implements verify.Files.
func (f folder) List() ([]string, error) {
	var names []string
	err := filepath.WalkDir(string(f), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		name, err = filepath.Rel(string(f), name)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	return names, err
}

// Open implements verify.Files.
func (f folder) Open(name string) (io.ReadCloser, error) {
	return os.OpenInRoot(string(f), filepath.FromSlash(name))
}

// bucket is a bucket's prefix with delivered data.
type bucket struct {
	ctx          context.Context
	client       *s3.Client
	name, prefix string
}

func newBucket(ctx context.Context, place, endpoint, region string) (*bucket, error) {
	name, prefix, _ := strings.Cut(place, "/")
	if name == "" {
		return nil, usage("s3:// needs the name of a bucket")
	}
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	var load []func(*config.LoadOptions) error
	if region == "" && endpoint != "" {
		region = "us-east-1"
	}
	if region != "" {
		load = append(load, config.WithRegion(region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return nil, fmt.Errorf("connect to S3: %w", err)
	}
	if cfg.Region == "" {
		return nil, usage("no region: give --region, or set AWS_REGION")
	}
	client := s3.NewFromConfig(cfg, func(o *s3.Options) {
		// The proofs cover an object's content, so the client need not check it.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		if endpoint != "" {
			o.BaseEndpoint, o.UsePathStyle = aws.String(endpoint), true
		}
	})
	return &bucket{ctx, client, name, prefix}, nil
}

// List implements verify.Files.
func (b *bucket) List() ([]string, error) {
	var names []string
	pages := s3.NewListObjectsV2Paginator(b.client, &s3.ListObjectsV2Input{Bucket: &b.name, Prefix: &b.prefix})
	for pages.HasMorePages() {
		page, err := pages.NextPage(b.ctx)
		if err != nil {
			return nil, fmt.Errorf("list s3://%s/%s: %w", b.name, b.prefix, err)
		}
		for i := range page.Contents {
			if name := strings.TrimPrefix(aws.ToString(page.Contents[i].Key), b.prefix); name != "" {
				names = append(names, name)
			}
		}
	}
	return names, nil
}

// Open implements verify.Files.
func (b *bucket) Open(name string) (io.ReadCloser, error) {
	out, err := b.client.GetObject(b.ctx, &s3.GetObjectInput{Bucket: &b.name, Key: aws.String(b.prefix + name)})
	if err != nil {
		return nil, err
	}
	return out.Body, nil
}
