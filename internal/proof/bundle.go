package proof

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
)

// A bundle is delivered together with the data. It is a tar file with one checkpoint and the
// tiles that are new since the previous bundle, so that one object per minute is enough. All
// bundles of a log, unpacked into one folder in their order, are its tiles as in
// c2sp.org/tlog-tiles.

// MaxBundleBytes limits the size of a bundle, MaxBundleFiles the number of its files.
const (
	MaxBundleBytes = 64 << 20
	MaxBundleFiles = 4096
)

// Names in a bundle besides those of the tiles.
const (
	CheckpointName = "checkpoint"
	RotationsName  = "rotations" // see Rotation; optional
)

// BundleFile is one file of a bundle.
type BundleFile struct {
	Name string
	Data []byte
}

// AppendBundle appends a bundle of files to dst. The same files always give the same bytes.
func AppendBundle(dst []byte, files []BundleFile) ([]byte, error) {
	b := bytes.NewBuffer(dst)
	w := tar.NewWriter(b)
	for _, f := range files {
		err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: f.Name, Size: int64(len(f.Data)), Mode: 0o644, Format: tar.FormatUSTAR})
		if err == nil {
			_, err = w.Write(f.Data)
		}
		if err != nil {
			return nil, fmt.Errorf("bundle %s: %w", f.Name, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

var errBundle = errors.New("malformed bundle")

// ReadBundle returns the files of a bundle in their order. It accepts only what AppendBundle
// makes, byte for byte.
func ReadBundle(bundle []byte) ([]BundleFile, error) {
	if len(bundle) > MaxBundleBytes {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", errBundle, len(bundle), MaxBundleBytes)
	}
	var files []BundleFile
	r := tar.NewReader(bytes.NewReader(bundle))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || h.Typeflag != tar.TypeReg || h.Size > int64(len(bundle)) || len(files) == MaxBundleFiles {
			return nil, errBundle
		}
		data, err := io.ReadAll(r)
		if err != nil {
			return nil, errBundle
		}
		files = append(files, BundleFile{Name: h.Name, Data: data})
	}
	again, err := AppendBundle(nil, files)
	if err != nil || !bytes.Equal(again, bundle) {
		return nil, errBundle
	}
	return files, nil
}
