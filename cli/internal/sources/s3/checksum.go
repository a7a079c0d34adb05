package s3

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // one of S3's checksums
	"crypto/sha256"
	"encoding/base64"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"net/http"
	"strings"
)

const checksumPrefix = "x-amz-checksum-"

// newChecksum returns the algorithm of a header x-amz-checksum-NAME, or nil if it is unknown.
func newChecksum(name string) hash.Hash {
	switch name {
	case "crc32":
		return crc32.NewIEEE()
	case "crc32c":
		return crc32.New(crc32.MakeTable(crc32.Castagnoli))
	case "crc64nvme":
		return crc64.New(crc64.MakeTable(0x9a6c9329ac4bc9b5)) // the polynomial with its bits reversed
	case "sha1":
		return sha1.New() //nolint:gosec // as S3 does
	case "sha256":
		return sha256.New()
	}
	return nil
}

// checksums are the expected checksums of a body, from headers and trailers.
type checksums struct {
	values   map[string]string // in base64, by the algorithm's name
	declared map[string]bool   // trailers that the headers announced
}

func checksumsOf(h http.Header) (*checksums, *Error) {
	c := &checksums{values: map[string]string{}, declared: map[string]bool{}}
	for name, values := range h {
		algorithm, ok := strings.CutPrefix(strings.ToLower(name), checksumPrefix)
		if !ok || algorithm == "type" || algorithm == "mode" || algorithm == "algorithm" {
			continue
		}
		if fault := c.add(algorithm, values[0]); fault != nil {
			return nil, fault
		}
	}
	for _, value := range h.Values("X-Amz-Trailer") {
		for name := range strings.SplitSeq(value, ",") {
			c.declared[strings.ToLower(strings.TrimSpace(name))] = true
		}
	}
	return c, nil
}

func (c *checksums) add(name, value string) *Error {
	h := newChecksum(name)
	if h == nil {
		return fail("NotImplemented", "a checksum that is not known here; send one of crc32, crc32c, crc64nvme, sha1 and sha256")
	}
	if sum, err := base64.StdEncoding.DecodeString(value); err != nil || len(sum) != h.Size() {
		return fail("InvalidRequest", "the value of "+checksumPrefix+name+" is not valid: expected the base64 of its bytes")
	}
	if _, twice := c.values[name]; twice {
		return fail("InvalidRequest", "expecting "+checksumPrefix+name+" once")
	}
	c.values[name] = value
	return nil
}

// addTrailer adds a line after the last chunk.
func (c *checksums) addTrailer(name, value string) *Error {
	if !c.declared[name] {
		return fail("InvalidRequest", "a trailer that x-amz-trailer does not announce")
	}
	algorithm, ok := strings.CutPrefix(name, checksumPrefix)
	if !ok {
		return fail("NotImplemented", "trailers other than checksums are not taken")
	}
	delete(c.declared, name)
	return c.add(algorithm, value)
}

// sent returns the name of the header of a checksum that was sent in the headers.
func (c *checksums) sent() string {
	for name := range c.values {
		return checksumPrefix + name
	}
	return ""
}

// verify compares data with all checksums. An announced but missing checksum counts as wrong.
func (c *checksums) verify(data []byte) *Error {
	if len(c.declared) > 0 {
		return fail("InvalidRequest", "a trailer that x-amz-trailer announces did not come")
	}
	for name, value := range c.values {
		h := newChecksum(name)
		h.Write(data)
		if want, err := base64.StdEncoding.DecodeString(value); err != nil || !bytes.Equal(want, h.Sum(nil)) {
			return fail("BadDigest", "the "+strings.ToUpper(name)+" you specified did not match the calculated checksum")
		}
	}
	return nil
}

// dropChecksums takes away the sums of a body that is not passed on as it came.
func dropChecksums(h http.Header) {
	h.Del("Content-Md5")
	for name := range h {
		if strings.HasPrefix(strings.ToLower(name), checksumPrefix) {
			h.Del(name)
		}
	}
}
