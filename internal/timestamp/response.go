package timestamp

import (
	"bytes"
	"crypto/sha1" //nolint:gosec // the ESSCertID of RFC 2634 names a certificate by it, beside a signature that does not rest on it
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math/big"
	"slices"
	"time"
)

var (
	oidSignedData    = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}
	oidTSTInfo       = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 1, 4}
	oidContentType   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 3}
	oidMessageDigest = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 4}
	oidSigningCert   = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 12}
	oidSigningCertV2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 16, 2, 47}
	oidRSA           = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 1}
	oidEd25519       = asn1.ObjectIdentifier{1, 3, 101, 112}
)

// signatures are the algorithms that hold, by the hash of what is signed: RSA (PKCS #1
// v1.5), whose plain name leaves the hash to that (RFC 5754, section 3.2), ECDSA, and
// Ed25519, which goes with SHA-512 (RFC 8419, section 3.1).
var signatures = []struct {
	digest     asn1.ObjectIdentifier
	algorithms []asn1.ObjectIdentifier
}{
	{oidSHA256, []asn1.ObjectIdentifier{oidRSA, {1, 2, 840, 113549, 1, 1, 11}, {1, 2, 840, 10045, 4, 3, 2}}},
	{oidSHA384, []asn1.ObjectIdentifier{oidRSA, {1, 2, 840, 113549, 1, 1, 12}, {1, 2, 840, 10045, 4, 3, 3}}},
	{oidSHA512, []asn1.ObjectIdentifier{oidRSA, {1, 2, 840, 113549, 1, 1, 13}, {1, 2, 840, 10045, 4, 3, 4}, oidEd25519}},
}

// granted is the one status of an answer that is what was asked for.
const granted = 0

// response is TimeStampResp (RFC 3161, section 2.4.2).
type response struct {
	Status struct {
		Status int
		Text   []asn1.RawValue `asn1:"optional"`
		Fail   asn1.BitString  `asn1:"optional"`
	}
	Token asn1.RawValue `asn1:"optional"`
}

// contentInfo and what follows are of RFC 5652, sections 3 and 5.
type contentInfo struct {
	Type    asn1.ObjectIdentifier
	Content signedData `asn1:"explicit,tag:0"`
}

type signedData struct {
	Version      int
	Digests      []pkix.AlgorithmIdentifier `asn1:"set"`
	Content      encapsulated
	Certificates asn1.RawValue `asn1:"optional,tag:0"`
	CRLs         asn1.RawValue `asn1:"optional,tag:1"`
	Signers      []signerInfo  `asn1:"set"`
}

type encapsulated struct {
	Type    asn1.ObjectIdentifier
	Content []byte `asn1:"explicit,tag:0"`
}

type signerInfo struct {
	Version int
	Signer  struct {
		Issuer asn1.RawValue
		Serial *big.Int
	}
	Digest     pkix.AlgorithmIdentifier
	Attributes asn1.RawValue `asn1:"tag:0"`
	Algorithm  pkix.AlgorithmIdentifier
	Signature  []byte
	Unsigned   asn1.RawValue `asn1:"optional,tag:1"`
}

type attribute struct {
	Type   asn1.ObjectIdentifier
	Values []asn1.RawValue `asn1:"set"`
}

// info is TSTInfo.
type info struct {
	Version  int
	Policy   asn1.ObjectIdentifier
	Imprint  imprint
	Serial   *big.Int
	Time     time.Time `asn1:"generalized"`
	Accuracy struct {
		Seconds int `asn1:"optional"`
		Millis  int `asn1:"optional,tag:0"`
		Micros  int `asn1:"optional,tag:1"`
	} `asn1:"optional"`
	Ordering   bool             `asn1:"optional"`
	Nonce      *big.Int         `asn1:"optional"`
	TSA        asn1.RawValue    `asn1:"optional,tag:0"`
	Extensions []pkix.Extension `asn1:"optional,tag:1"`
}

// Token is what stands in a response. Nobody vouches for it before [Verify] does.
type Token struct {
	Response []byte // as it came
	// Certificates are those that the token brings, the signer's first.
	Certificates []*x509.Certificate

	info     info
	accuracy time.Duration
}

// Time is the time that the token states.
func (t Token) Time() time.Time { return t.info.Time }

// Serial is the token's serial number, in decimal.
func (t Token) Serial() string { return t.info.Serial.String() }

// ParseResponse reads the answer to a request: ErrFormat, ErrRefused, ErrImprint or
// ErrNonce, if it is none. Without a nonce, which an asker remembers only until the
// answer comes, any will do.
func ParseResponse(der, message []byte, nonce *big.Int) (Token, error) {
	t, err := parse(der)
	if err != nil {
		return Token{}, err
	}
	sum := sha256.Sum256(message)
	switch {
	case !t.info.Imprint.Algorithm.Algorithm.Equal(oidSHA256), !bytes.Equal(t.info.Imprint.Hash, sum[:]):
		return Token{}, ErrImprint
	case nonce != nil && (t.info.Nonce == nil || t.info.Nonce.Cmp(nonce) != 0):
		return Token{}, ErrNonce
	}
	return t, nil
}

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrFormat, fmt.Errorf(format, args...))
}

// whole decodes DER with nothing behind it.
func whole(der []byte, into any) error {
	rest, err := asn1.Unmarshal(der, into)
	if err == nil && len(rest) > 0 {
		err = fmt.Errorf("%d bytes behind its end", len(rest))
	}
	return err
}

func parse(der []byte) (Token, error) {
	if len(der) > MaxResponse {
		return Token{}, bad("longer than %d bytes", MaxResponse)
	}
	var r response
	if err := whole(der, &r); err != nil {
		return Token{}, bad("%w", err)
	}
	if r.Status.Status != granted {
		return Token{}, fmt.Errorf("%w: status %d%s", ErrRefused, r.Status.Status, words(r.Status.Text))
	}
	if len(r.Token.FullBytes) == 0 {
		return Token{}, bad("granted, but without a token")
	}
	var c contentInfo
	if err := whole(r.Token.FullBytes, &c); err != nil {
		return Token{}, bad("token: %w", err)
	}
	signed := c.Content
	switch {
	case !c.Type.Equal(oidSignedData), !signed.Content.Type.Equal(oidTSTInfo):
		return Token{}, bad("the token is not signed data about a time")
	case len(signed.Signers) != 1:
		return Token{}, bad("the token has %d signers", len(signed.Signers))
	}
	t := Token{Response: der}
	if err := whole(signed.Content.Content, &t.info); err != nil {
		return Token{}, bad("what was signed: %w", err)
	}
	if t.info.Version != 1 {
		return Token{}, bad("what was signed is of version %d", t.info.Version)
	}
	// SPEC: "Time-Stamping users MUST be ready to accommodate integers up to 160 bits."
	// (RFC 3161, section 2.4.2)
	if t.info.Serial.Sign() < 0 || t.info.Serial.BitLen() > 160 {
		return Token{}, bad("the serial number is negative, or longer than 160 bits")
	}
	a := t.info.Accuracy
	if a.Seconds < 0 || a.Seconds > int(MaxAccuracy/time.Second) || a.Millis < 0 || a.Millis > 999 || a.Micros < 0 || a.Micros > 999 {
		return Token{}, bad("the accuracy is none, or worse than %s", MaxAccuracy)
	}
	t.accuracy = time.Duration(a.Seconds)*time.Second + time.Duration(a.Millis)*time.Millisecond + time.Duration(a.Micros)*time.Microsecond
	certificates, err := x509.ParseCertificates(signed.Certificates.Bytes)
	if err != nil {
		return Token{}, bad("certificates: %w", err)
	}
	if len(certificates) > MaxCertificates {
		return Token{}, bad("%d certificates, more than %d", len(certificates), MaxCertificates)
	}
	if t.Certificates, err = signerFirst(certificates, signed.Signers[0]); err != nil {
		return Token{}, err
	}
	if err := checkAttributes(signed.Signers[0], t.Certificates[0]); err != nil {
		return Token{}, err
	}
	return t, nil
}

// words gives what a refusal says, for people.
func words(text []asn1.RawValue) string {
	var said []byte
	for _, t := range text[:min(len(text), 10)] {
		said = append(append(said, ": "...), t.Bytes[:min(len(t.Bytes), 200)]...)
	}
	if len(said) == 0 {
		return ""
	}
	return fmt.Sprintf("%q", said)
}

// signerFirst gives the certificates with the signer's at the beginning.
func signerFirst(certificates []*x509.Certificate, s signerInfo) ([]*x509.Certificate, error) {
	for i, c := range certificates {
		if s.Signer.Serial != nil && c.SerialNumber.Cmp(s.Signer.Serial) == 0 && bytes.Equal(c.RawIssuer, s.Signer.Issuer.FullBytes) {
			certificates[0], certificates[i] = certificates[i], certificates[0]
			return certificates, nil
		}
	}
	return nil, bad("the signer's certificate is not in the token")
}

// checkAttributes checks what the signature rests on: algorithms that hold, one
// attribute each for type and hash of the content, and the signer's own certificate.
func checkAttributes(s signerInfo, signer *x509.Certificate) error {
	if err := checkAlgorithms(s.Digest.Algorithm, s.Algorithm.Algorithm); err != nil {
		return err
	}
	var contentType, digest, names int
	for rest := s.Attributes.Bytes; len(rest) > 0; {
		var a attribute
		var err error
		if rest, err = asn1.Unmarshal(rest, &a); err != nil {
			return bad("signed attribute: %w", err)
		}
		if len(a.Values) != 1 {
			return bad("signed attribute %s has %d values", a.Type, len(a.Values))
		}
		value := a.Values[0].FullBytes
		switch {
		case a.Type.Equal(oidContentType):
			var is asn1.ObjectIdentifier
			if err := whole(value, &is); err != nil || !is.Equal(oidTSTInfo) {
				return bad("the signature is not about a time")
			}
			contentType++
		case a.Type.Equal(oidMessageDigest):
			digest++
		case a.Type.Equal(oidSigningCert), a.Type.Equal(oidSigningCertV2):
			if err := namesSigner(value, a.Type.Equal(oidSigningCertV2), signer); err != nil {
				return err
			}
			names++
		}
	}
	if contentType != 1 || digest != 1 || names == 0 {
		return bad("the signature does not cover the content's type and hash and the signer's certificate, each once")
	}
	return nil
}

func checkAlgorithms(digest, algorithm asn1.ObjectIdentifier) error {
	for _, s := range signatures {
		if !s.digest.Equal(digest) {
			continue
		}
		if !slices.ContainsFunc(s.algorithms, algorithm.Equal) {
			return bad("signed by the algorithm %s, which is none of RSA, ECDSA and Ed25519 that fits the hash %s", algorithm, digest)
		}
		return nil
	}
	return bad("signed with the hash %s, want one of SHA-2", digest)
}

// namesSigner checks that a signingCertificate attribute names the signer's certificate
// first.
//
// SPEC: "The certificate identified by the first certificate identifier MUST be the
// certificate used to verify the signature." (RFC 5035, section 5.4, in other words)
func namesSigner(value []byte, v2 bool, signer *x509.Certificate) error {
	var list struct {
		Certs    []asn1.RawValue
		Policies asn1.RawValue `asn1:"optional"`
	}
	if err := whole(value, &list); err != nil || len(list.Certs) == 0 {
		return bad("the attribute that names the signer's certificate names none")
	}
	first := list.Certs[0].FullBytes
	var got, want []byte
	if v2 {
		var id struct {
			Algorithm pkix.AlgorithmIdentifier `asn1:"optional"` // SHA-256
			Hash      []byte
			Issuer    asn1.RawValue `asn1:"optional"`
		}
		if err := whole(first, &id); err != nil {
			return bad("the attribute that names the signer's certificate: %w", err)
		}
		got = id.Hash
		switch a := id.Algorithm.Algorithm; {
		case len(a) == 0, a.Equal(oidSHA256):
			sum := sha256.Sum256(signer.Raw)
			want = sum[:]
		case a.Equal(oidSHA384):
			sum := sha512.Sum384(signer.Raw)
			want = sum[:]
		case a.Equal(oidSHA512):
			sum := sha512.Sum512(signer.Raw)
			want = sum[:]
		default:
			return bad("the signer's certificate is named by the hash %s, want one of SHA-2", a)
		}
	} else {
		var id struct {
			Hash   []byte
			Issuer asn1.RawValue `asn1:"optional"`
		}
		if err := whole(first, &id); err != nil {
			return bad("the attribute that names the signer's certificate: %w", err)
		}
		sum := sha1.Sum(signer.Raw) //nolint:gosec // see the import
		got, want = id.Hash, sum[:]
	}
	if !bytes.Equal(got, want) {
		return bad("the signature was made for another certificate than the signer's")
	}
	return nil
}
