package timestamp

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"testing"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
)

// resigned is a response whose signature is made again, over these hashes and under
// these names.
func resigned(t *testing.T, a *authoritytest.Authority, message []byte, hash crypto.Hash, digest, algorithm asn1.ObjectIdentifier) []byte {
	t.Helper()
	var r response
	var c contentInfo
	if err := errors.Join(whole(a.Stamp(t, message, nil, authoritytest.Behaviour{}), &r), whole(r.Token.FullBytes, &c)); err != nil {
		t.Fatal(err)
	}
	s := &c.Content.Signers[0]
	// SPEC: "The IMPLICIT [0] tag in the signedAttrs is not used for the DER encoding,
	// rather an EXPLICIT SET OF tag is used." (RFC 5652, section 5.4)
	set := bytes.Clone(s.Attributes.FullBytes)
	set[0] = asn1.TagSet | 0x20
	h := hash.New()
	h.Write(set)
	signature, err := ecdsa.SignASN1(rand.Reader, a.KeyOf(a.Signer), h.Sum(nil))
	if err != nil {
		t.Fatal(err)
	}
	s.Digest.Algorithm, s.Algorithm.Algorithm, s.Signature = digest, algorithm, signature
	token, err := asn1.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	der, err := asn1.Marshal(struct {
		Status struct{ Status int }
		Token  asn1.RawValue
	}{Token: asn1.RawValue{FullBytes: token}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A signature holds by an algorithm that does, with the hash of what is signed.
func TestSignatureAlgorithms(t *testing.T) {
	a := authoritytest.New(t, "good")
	message := []byte("message")
	ecdsaWith := func(n ...int) asn1.ObjectIdentifier {
		return append(asn1.ObjectIdentifier{1, 2, 840, 10045, 4}, n...)
	}
	for name, row := range map[string]struct {
		hash              crypto.Hash
		digest, algorithm asn1.ObjectIdentifier
		wantErr           error
	}{
		"ECDSA with SHA-256":                {crypto.SHA256, oidSHA256, ecdsaWith(3, 2), nil},
		"ECDSA with SHA-1 beside SHA-256":   {crypto.SHA1, oidSHA256, ecdsaWith(1), ErrFormat},
		"ECDSA with SHA-224 beside SHA-256": {crypto.SHA224, oidSHA256, ecdsaWith(3, 1), ErrFormat},
		"ECDSA with SHA-512 beside SHA-256": {crypto.SHA512, oidSHA256, ecdsaWith(3, 4), ErrFormat},
		"ECDSA with SHA-256 beside SHA-1":   {crypto.SHA256, asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, ecdsaWith(3, 2), ErrFormat},
		"RSA with SHA-1 beside SHA-256":     {crypto.SHA256, oidSHA256, asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 5}, ErrFormat},
		"DSA":                               {crypto.SHA256, oidSHA256, asn1.ObjectIdentifier{1, 2, 840, 10040, 4, 1}, ErrFormat},
		"a curve":                           {crypto.SHA256, oidSHA256, asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, ErrFormat},
		"Ed25519 beside SHA-256":            {crypto.SHA256, oidSHA256, oidEd25519, ErrFormat},
		"RSA in name, and the key is ECDSA": {crypto.SHA256, oidSHA256, oidRSA, ErrUntrusted},
		"Ed25519 in name, the key is ECDSA": {crypto.SHA512, oidSHA512, oidEd25519, ErrUntrusted},
		"no algorithm":                      {crypto.SHA256, oidSHA256, asn1.ObjectIdentifier{0, 0}, ErrFormat},
	} {
		der := resigned(t, a, message, row.hash, row.digest, row.algorithm)
		if _, err := Verify(der, message, nil, Trust{Roots: []*x509.Certificate{a.Root}}); !errors.Is(err, row.wantErr) {
			t.Errorf("%s: %v, want %v", name, err, row.wantErr)
		}
	}
}
