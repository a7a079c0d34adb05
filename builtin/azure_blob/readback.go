package azureblob

import (
	"context"
	"fmt"
	"io"
	"net/http"

	"auditrelay"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
)

// readBytes is how much one request reads, since the client limits responses to 1 MiB.
const readBytes = 512 << 10

// ReadBack implements auditrelay.Reader. A SAS needs the right to read.
func (s *Sink) ReadBack(stop context.Context, p auditrelay.Payload, _ auditrelay.Receipt) ([]byte, error) {
	container, err := s.container()
	if err != nil {
		return nil, s.failure(stop, err)
	}
	at := container.NewBlockBlobClient(p.Key)
	var held []byte
	for int64(len(held)) < int64(len(p.Body)) {
		part, err := s.readPart(stop, at.DownloadStream, int64(len(held)))
		switch {
		case statusOf(err) == http.StatusNotFound:
			return nil, fmt.Errorf("read back %s: %w", s.options.Container, auditrelay.ErrMissing)
		case statusOf(err) == http.StatusRequestedRangeNotSatisfiable || err == nil && len(part) == 0:
			return held, nil // the blob is shorter than the delivered one
		case err != nil:
			return nil, s.failure(stop, err)
		}
		held = append(held, part...)
	}
	return held, nil
}

func (s *Sink) readPart(stop context.Context, download func(context.Context, *blob.DownloadStreamOptions) (blob.DownloadStreamResponse, error), from int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(stop, s.options.HTTP.RequestTimeout)
	defer cancel()
	answer, err := download(ctx, &blob.DownloadStreamOptions{Range: blob.HTTPRange{Offset: from, Count: readBytes}})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	return io.ReadAll(answer.Body)
}
