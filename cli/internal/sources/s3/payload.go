package s3

import (
	"bytes"
	"crypto/md5" //nolint:gosec // S3's ETag and Content-MD5 are MD5
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"

	"auditrelay"
)

// Values of x-amz-content-sha256 other than a digest.
const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	signedChunks    = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
	signedTrailer   = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
)

// payload is a verified body.
type payload struct {
	data     []byte
	md5      [md5.Size]byte
	encoding string // Content-Encoding without aws-chunked
	checksum string // name of the header of the sent checksum, if any
	release  func() // releases its memory
}

// etag returns the object's ETag, as S3 computes it.
func (p *payload) etag() string { return `"` + hex.EncodeToString(p.md5[:]) + `"` }

// readPayload reads and verifies the whole body, since only the end shows whether it is what
// was signed.
func (h *Handler) readPayload(r *http.Request, s *signed) (*payload, *Error) {
	chunks := strings.HasPrefix(s.payload, "STREAMING-")
	signs := true
	switch s.payload {
	case signedChunks, signedTrailer:
	case unsignedPayload, unsignedTrailer:
		if signs = false; !private(r) {
			return nil, fail("InvalidRequest", "a payload that is not signed is taken over TLS or from this machine only: sign it, or send it over TLS")
		}
	default:
		if chunks {
			return nil, fail("NotImplemented", "this form of streaming is not taken; sign with "+algorithm)
		}
		if !isDigest(s.payload) {
			return nil, fail("InvalidRequest", "x-amz-content-sha256 is neither a SHA-256 in hexadecimal digits nor a form that is known here")
		}
	}
	size := r.ContentLength
	if chunks {
		var err error
		if size, err = strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64); err != nil {
			size = -1
		}
	}
	if size < 0 {
		return nil, fail("MissingContentLength", "the length of the body has to be given: Content-Length, or x-amz-decoded-content-length where it comes in chunks")
	}
	if size > h.limits.BodyBytes {
		return nil, fail("EntityTooLarge", "the object is larger than "+auditrelay.ByteSize(h.limits.BodyBytes).String()+", which ingest.limits.body_bytes allows")
	}
	sums, fault := checksumsOf(r.Header)
	if fault != nil {
		return nil, fault
	}
	// The journal's transaction contains the events once more.
	release, err := h.reserve(r.Context(), s.key.Name, 2*size+bodySlack)
	if err != nil {
		return nil, slowDown("too many requests are under way", 0, err)
	}
	p := &payload{data: make([]byte, size), encoding: contentEncoding(r.Header), checksum: sums.sent(), release: release}
	if fault := h.fill(p, r, s, sums, chunks, signs); fault != nil {
		release()
		return nil, fault
	}
	return p, nil
}

// bodySlack is the memory of a request besides its body.
const bodySlack = 32 << 10

func (h *Handler) fill(p *payload, r *http.Request, s *signed, sums *checksums, chunks, signs bool) *Error {
	if chunks {
		c := chunkReader{from: r.Body, trailer: s.payload == signedTrailer || s.payload == unsignedTrailer, sums: sums}
		if signs {
			c.sign = s
		}
		if fault := c.read(p.data); fault != nil {
			return fault
		}
	} else if _, err := io.ReadFull(r.Body, p.data); err != nil {
		return readFault(err)
	}
	if signs && !chunks {
		if sha256Hex(p.data) != s.payload {
			return errDigest()
		}
	}
	p.md5 = md5.Sum(p.data) //nolint:gosec // as S3 does
	if sent := r.Header.Get("Content-Md5"); sent != "" {
		sum, err := base64.StdEncoding.DecodeString(sent)
		if err != nil || len(sum) != md5.Size {
			return fail("InvalidDigest", "Content-MD5 is not valid: expected the base64 of 16 bytes")
		}
		if !bytes.Equal(sum, p.md5[:]) {
			return fail("BadDigest", "the Content-MD5 you specified did not match what we received")
		}
	}
	return sums.verify(p.data)
}

func sha256Hex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// readFault returns why a body could not be read completely.
func readFault(err error) *Error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Code: "IncompleteBody", Status: http.StatusBadRequest, Err: err,
			Message: "you did not provide the number of bytes specified by the Content-Length HTTP header"}
	}
	return &Error{Code: "RequestTimeout", Status: http.StatusBadRequest, Err: err,
		Message: "the body was not read to its end within the timeout period"}
}

// private reports whether nobody between the producer and the relay can change a body.
func private(r *http.Request) bool {
	if r.TLS != nil {
		return true
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	ip := net.ParseIP(host)
	return err == nil && ip != nil && ip.IsLoopback()
}

// contentEncoding returns the object's own encoding. aws-chunked belongs to the transfer.
func contentEncoding(h http.Header) string {
	var own []string
	for _, value := range h.Values("Content-Encoding") {
		for name := range strings.SplitSeq(value, ",") {
			if name = strings.ToLower(strings.TrimSpace(name)); name != "" && name != "aws-chunked" {
				own = append(own, name)
			}
		}
	}
	return strings.Join(own, ",")
}

// discard reads, verifies and drops a small body.
func (h *Handler) discard(r *http.Request, s *signed) *Error {
	p, fault := h.readPayload(r, s)
	if fault == nil {
		p.release()
	}
	return fault
}
