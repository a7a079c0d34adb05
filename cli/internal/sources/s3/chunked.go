package s3

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// chunkReader reads a body in the encoding aws-chunked:
//
//	SIZE[;chunk-signature=HEX]\r\n DATA \r\n ... 0[;chunk-signature=HEX]\r\n
//	[NAME:VALUE\r\n ...] [x-amz-trailer-signature:HEX\r\n] \r\n
//
// Each chunk's signature includes the previous one, and the first includes the headers'
// signature. So no chunk can be omitted, added or moved.
type chunkReader struct {
	from    io.Reader
	sign    *signed // nil if the chunks are not signed
	trailer bool
	sums    *checksums

	r        *bufio.Reader
	previous string // the previous signature
}

const (
	maxChunkLine = 4 << 10
	maxTrailers  = 16
)

var emptyDigest = sha256.Sum256(nil)

// read fills into, whose length is the body's declared length.
func (c *chunkReader) read(into []byte) *Error {
	c.r = bufio.NewReaderSize(c.from, maxChunkLine)
	if c.sign != nil {
		c.previous = c.sign.seed
	}
	for {
		line, fault := c.line()
		if fault != nil {
			return fault
		}
		size, signature, fault := c.head(line)
		if fault != nil {
			return fault
		}
		if size > int64(len(into)) {
			return malformedChunks("the chunks hold more than x-amz-decoded-content-length says")
		}
		chunk := into[:size]
		into = into[size:]
		if _, err := io.ReadFull(c.r, chunk); err != nil {
			return readFault(err)
		}
		if fault := c.check(signature, chunk); fault != nil {
			return fault
		}
		if size == 0 {
			break
		}
		if end, fault := c.line(); fault != nil || end != "" {
			return orMalformed(fault, "a chunk is not followed by a line's end")
		}
	}
	if len(into) > 0 {
		return malformedChunks("the chunks hold less than x-amz-decoded-content-length says")
	}
	if fault := c.trailers(); fault != nil {
		return fault
	}
	if _, err := c.r.ReadByte(); err != io.EOF {
		if err != nil {
			return readFault(err)
		}
		return malformedChunks("more follows the last chunk")
	}
	return nil
}

// head parses a chunk's first line.
func (c *chunkReader) head(line string) (size int64, signature string, fault *Error) {
	digits, extension, extended := strings.Cut(line, ";")
	size, err := strconv.ParseInt(digits, 16, 64)
	if err != nil || size < 0 || strings.HasPrefix(digits, "+") || strings.HasPrefix(digits, "-") {
		return 0, "", malformedChunks("a chunk's size is no hexadecimal number")
	}
	signature, ok := strings.CutPrefix(extension, "chunk-signature=")
	if ok != (c.sign != nil) || extended != (c.sign != nil) {
		return 0, "", malformedChunks("whether its chunks are signed is not what x-amz-content-sha256 says")
	}
	return size, signature, nil
}

func (c *chunkReader) check(signature string, chunk []byte) *Error {
	if c.sign == nil {
		return nil
	}
	digest := sha256.Sum256(chunk)
	return c.next(signature, algorithm+"-PAYLOAD", hex.EncodeToString(emptyDigest[:])+"\n"+hex.EncodeToString(digest[:]))
}

// next verifies the next signature of the chain.
func (c *chunkReader) next(signature, kind, text string) *Error {
	if !c.sign.matches(signature, kind+"\n"+c.sign.when+"\n"+c.sign.scope+"\n"+c.previous+"\n"+text) {
		return fail("SignatureDoesNotMatch", "the signature of a part of the body is not the one of this key and this part")
	}
	c.previous = signature
	return nil
}

// trailers reads the lines after the last chunk: checksums, and their signature if the chunks
// are signed.
func (c *chunkReader) trailers() *Error {
	canonical := ""
	for range maxTrailers {
		line, fault := c.line()
		if fault != nil {
			return fault
		}
		if line == "" {
			if c.trailer && c.sign != nil {
				continue // before the signature, as in AWS's own example
			}
			return nil
		}
		name, value, ok := strings.Cut(line, ":")
		name, value = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !ok || !c.trailer:
			return malformedChunks("what follows the last chunk is no trailer")
		case name == "x-amz-trailer-signature" && c.sign != nil:
			digest := sha256.Sum256([]byte(canonical))
			if fault := c.next(value, algorithm+"-TRAILER", hex.EncodeToString(digest[:])); fault != nil {
				return fault
			}
			if end, fault := c.line(); fault != nil || end != "" {
				return orMalformed(fault, "more follows the trailers' signature")
			}
			return nil
		default:
			canonical += name + ":" + value + "\n"
			if fault := c.sums.addTrailer(name, value); fault != nil {
				return fault
			}
		}
	}
	return malformedChunks("too many trailers, or their signature is missing")
}

// line reads one line without its end, CRLF or LF.
func (c *chunkReader) line() (string, *Error) {
	line, err := c.r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		return "", malformedChunks("a line that is too long")
	}
	if err != nil {
		return "", readFault(err)
	}
	return strings.TrimSuffix(strings.TrimSuffix(string(line), "\n"), "\r"), nil
}

func malformedChunks(what string) *Error {
	return &Error{Code: "InvalidRequest", Status: http.StatusBadRequest, Message: "the body's encoding aws-chunked is malformed: " + what}
}

func orMalformed(fault *Error, what string) *Error {
	if fault != nil {
		return fault
	}
	return malformedChunks(what)
}
