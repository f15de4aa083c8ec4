package timestamp

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"io"
	"math/big"
	"time"
)

// What can be wrong with an answer.
var (
	ErrFormat    = errors.New("not a time-stamp response")
	ErrRefused   = errors.New("the authority did not grant a time stamp")
	ErrImprint   = errors.New("the time stamp is over something else")
	ErrNonce     = errors.New("the time stamp answers another request")
	ErrUntrusted = errors.New("the time stamp is not by an authority that is trusted")
	ErrRevoked   = errors.New("a certificate behind the time stamp was revoked")
)

const (
	// MaxResponse is the greatest size of a response in bytes.
	MaxResponse = 64 << 10
	// MaxCertificates is how many certificates a token, or a file of them, can have.
	MaxCertificates = 20
	// MaxAccuracy is the worst accuracy of a time that is still one.
	MaxAccuracy = time.Hour
	// Tolerance is by how much an authority's clock and another may differ beside the
	// accuracy that the authority states, before one of them must be wrong.
	Tolerance = 5 * time.Minute
)

// nonceBits is the length of a nonce: nobody meets the same one twice.
const nonceBits = 128

var (
	oidSHA256 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}
	oidSHA384 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}
	oidSHA512 = asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}
)

// imprint is MessageImprint.
type imprint struct {
	Algorithm pkix.AlgorithmIdentifier
	Hash      []byte
}

// request is TimeStampReq (RFC 3161, section 2.4.1).
type request struct {
	Version int
	Imprint imprint
	Nonce   *big.Int
	CertReq bool
}

// NewNonce draws a nonce.
func NewNonce(random io.Reader) (*big.Int, error) {
	var b [nonceBits / 8]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		return nil, fmt.Errorf("draw a nonce: %w", err)
	}
	b[0] = b[0]&0x7f | 0x40 // positive, and always of that length
	return new(big.Int).SetBytes(b[:]), nil
}

// NewRequest gives the request for a time stamp over a message, in DER.
func NewRequest(message []byte, nonce *big.Int) ([]byte, error) {
	sum := sha256.Sum256(message)
	der, err := asn1.Marshal(request{
		Version: 1,
		Imprint: imprint{pkix.AlgorithmIdentifier{Algorithm: oidSHA256, Parameters: asn1.NullRawValue}, sum[:]},
		Nonce:   nonce, CertReq: true,
	})
	if err != nil {
		return nil, fmt.Errorf("encode time-stamp request: %w", err)
	}
	return der, nil
}
