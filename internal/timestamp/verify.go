package timestamp

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"math/big"
	"time"

	"github.com/sigstore/timestamp-authority/v2/pkg/verification"
)

// Trust is what a time stamp is judged by.
type Trust struct {
	Roots         []*x509.Certificate    // that are believed
	Intermediates []*x509.Certificate    // that may help, beside those in the token
	Lists         []*x509.RevocationList // that are held against the chain, if its issuers signed them
}

// Stamp is what an authority that is trusted says: the message existed at that time.
type Stamp struct {
	Time      time.Time
	Accuracy  time.Duration // zero: not stated
	Authority string        // subject of the certificate that signed
	Serial    string        // of the token, in decimal
	Policy    string        // object identifier of the authority's policy
	// Chain leads from the signer's certificate to the root.
	Chain []*x509.Certificate
	// Unknown are the subjects of those certificates of the chain about whose
	// revocation nothing is known.
	Unknown []string
	// Notes say what holds, and should be known all the same.
	Notes []string
}

// Verify judges a response over a message. It fails with what ParseResponse fails with,
// with ErrUntrusted or with ErrRevoked.
func Verify(der, message []byte, nonce *big.Int, trust Trust) (Stamp, error) {
	t, err := ParseResponse(der, message, nonce)
	if err != nil {
		return Stamp{}, err
	}
	// The parser of the library below reads more than DER and has no bounds; it meets
	// only what was read here.
	_, err = verification.VerifyTimestampResponse(der, bytes.NewReader(message), verification.VerifyOpts{
		Roots: trust.Roots, Intermediates: trust.Intermediates, Nonce: nonce, CurrentTime: t.info.Time,
	})
	if err != nil {
		return Stamp{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	signer := t.Certificates[0]
	chains, err := signer.Verify(x509.VerifyOptions{
		Roots: pool(trust.Roots), Intermediates: pool(append(append([]*x509.Certificate{}, trust.Intermediates...), t.Certificates...)),
		CurrentTime: t.info.Time, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageTimeStamping},
	})
	if err != nil {
		return Stamp{}, fmt.Errorf("%w: %w", ErrUntrusted, err)
	}
	for _, chain := range chains {
		s := Stamp{
			Time: t.info.Time, Accuracy: t.accuracy, Authority: signer.Subject.String(), Serial: t.Serial(),
			Policy: t.info.Policy.String(), Chain: chain,
		}
		if err = s.revocation(trust.Lists); err == nil {
			return s, nil
		}
	}
	return Stamp{}, err
}

func pool(certificates []*x509.Certificate) *x509.CertPool {
	p := x509.NewCertPool()
	for _, c := range certificates {
		p.AddCert(c)
	}
	return p
}
