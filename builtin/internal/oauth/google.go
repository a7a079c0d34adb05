package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
)

// maxCredentialsBytes limits the size of a credentials file.
const maxCredentialsBytes = 64 << 10

// Google reads credentials from a Google JSON file. If file is empty, it uses Google's own
// search.
func Google(file, scope string) Opener {
	return func(ctx context.Context) (oauth2.TokenSource, error) {
		if file == "" {
			found, err := google.FindDefaultCredentials(ctx, scope)
			if err != nil {
				return nil, errors.New("read the credentials: Google's search found none: give credentials_file, or run where a service account is attached")
			}
			return found.TokenSource, nil
		}
		info, err := os.Stat(file)
		if err != nil {
			return nil, fmt.Errorf("read the credentials: %w", err)
		}
		if info.Size() > maxCredentialsBytes || !info.Mode().IsRegular() {
			return nil, fmt.Errorf("read the credentials: %s is not a regular file of at most %d KiB", file, maxCredentialsBytes>>10)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read the credentials: %w", err)
		}
		var kind struct {
			Type google.CredentialsType `json:"type"`
		}
		if json.Unmarshal(data, &kind) != nil || kind.Type == "" {
			return nil, fmt.Errorf("read the credentials: %s is not a credentials file: expected JSON with a type", file)
		}
		found, err := google.CredentialsFromJSONWithType(ctx, data, kind.Type, scope)
		if err != nil {
			return nil, fmt.Errorf("read the credentials: %s is not a valid file of its type", file)
		}
		return found.TokenSource, nil
	}
}
