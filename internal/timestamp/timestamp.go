// Package timestamp requests tokens from a time-stamping authority as in RFC 3161. It checks
// that a token is for the data that was sent. It does not verify the authority's signature: use
// openssl ts -verify with the authority's certificate.
package timestamp

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"time"
)

// maxAnswer limits the size in bytes of an answer, including certificates.
const maxAnswer = 256 << 10

var (
	oidSHA256     = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
)

type imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Digest    []byte
}

type request struct {
	Version int
	Imprint imprint
	Nonce   *big.Int
	CertReq bool
}

type response struct {
	Status struct {
		Status int
		Text   asn1.RawValue  `asn1:"optional"`
		Fail   asn1.BitString `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content asn1.RawValue `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version int
	Digests asn1.RawValue
	Content struct {
		Type asn1.ObjectIdentifier
		Info []byte `asn1:"explicit,tag:0"`
	}
	Certificates asn1.RawValue `asn1:"optional"`
	CRLs         asn1.RawValue `asn1:"optional"`
	Signers      asn1.RawValue `asn1:"optional"`
}

type info struct {
	Version  int
	Policy   asn1.ObjectIdentifier
	Imprint  imprint
	Serial   *big.Int
	At       time.Time `asn1:"generalized"`
	Accuracy struct {
		Seconds int `asn1:"optional"`
		Millis  int `asn1:"optional,tag:0"`
		Micros  int `asn1:"optional,tag:1"`
	} `asn1:"optional"`
	Ordering   bool          `asn1:"optional"`
	Nonce      *big.Int      `asn1:"optional"`
	Authority  asn1.RawValue `asn1:"optional"`
	Extensions asn1.RawValue `asn1:"optional"`
}

// Authority is a time-stamping authority.
type Authority struct {
	URL string
	// Client sends requests. Default: a client with a timeout of 30 s that follows no redirect.
	Client *http.Client
}

var defaultClient = &http.Client{Timeout: 30 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

// Stamp returns the authority's answer for the SHA-256 of data, in the form that openssl ts
// reads, and the time in it.
func (a *Authority) Stamp(ctx context.Context, data []byte) (answer []byte, at time.Time, err error) {
	sum := sha256.Sum256(data)
	nonce, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 63))
	if err != nil {
		return nil, at, err
	}
	query, err := asn1.Marshal(request{1, imprint{pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, sum[:]}, nonce, true})
	if err != nil {
		return nil, at, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, a.URL, bytes.NewReader(query))
	if err != nil {
		return nil, at, err
	}
	req.Header.Set("Content-Type", "application/timestamp-query")
	resp, err := cmp.Or(a.Client, defaultClient).Do(req)
	if err != nil {
		return nil, at, fmt.Errorf("time stamp: %w", err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
	case resp.StatusCode != http.StatusOK:
		err = fmt.Errorf("the authority answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode))
	case len(answer) > maxAnswer:
		err = fmt.Errorf("its answer is over %d bytes", maxAnswer)
	default:
		at, err = read(answer, sum[:], nonce)
	}
	if err != nil {
		return nil, at, fmt.Errorf("time stamp: %w", err)
	}
	return answer, at, nil
}

// Read returns the time in an answer for the SHA-256 of data.
func Read(answer, data []byte) (time.Time, error) {
	sum := sha256.Sum256(data)
	return read(answer, sum[:], nil)
}

var errAnswer = errors.New("its answer is not a time-stamp response")

// read checks which data an answer is for. A nil nonce is not compared.
func read(answer, digest []byte, nonce *big.Int) (at time.Time, err error) {
	var r response
	if rest, err := asn1.Unmarshal(answer, &r); err != nil || len(rest) > 0 {
		return at, errAnswer
	}
	if r.Status.Status > 1 || r.Status.Status < 0 {
		return at, fmt.Errorf("the authority refused: status %d", r.Status.Status)
	}
	var outer contentInfo
	if rest, err := asn1.Unmarshal(r.Token.FullBytes, &outer); err != nil || len(rest) > 0 || !outer.Type.Equal(oidSignedData) {
		return at, errAnswer
	}
	var s signedData
	if _, err := asn1.Unmarshal(outer.Content.Bytes, &s); err != nil || !s.Content.Type.Equal(oidTSTInfo) {
		return at, errAnswer
	}
	var i info
	if rest, err := asn1.Unmarshal(s.Content.Info, &i); err != nil || len(rest) > 0 {
		return at, errAnswer
	}
	if !i.Imprint.Algorithm.Algorithm.Equal(oidSHA256) || !bytes.Equal(i.Imprint.Digest, digest) {
		return at, errors.New("the token is for other data")
	}
	if nonce != nil && (i.Nonce == nil || i.Nonce.Cmp(nonce) != 0) {
		return at, errors.New("the token answers another request")
	}
	return i.At.UTC(), nil
}
