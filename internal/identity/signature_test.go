package identity

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"math/big"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

func newSigner(t testing.TB) *KeyFile {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if _, err := GenerateKeyFile(path, "", rand.Reader); err != nil {
		t.Fatal(err)
	}
	signer, err := LoadKeyFile(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	return signer
}

func mustSign(t testing.TB, s Signer, ns Namespace, message []byte) []byte {
	t.Helper()
	armored, err := s.Sign(t.Context(), ns, message)
	if err != nil {
		t.Fatal(err)
	}
	return armored
}

// edited returns the signature with a change made to its parts.
func edited(t *testing.T, armored []byte, change func(*sshsig.Signature)) []byte {
	t.Helper()
	sig, err := sshsig.Unarmor(armored)
	if err != nil {
		t.Fatal(err)
	}
	change(sig)
	return armor(sig)
}

func TestVerifyTampered(t *testing.T) {
	signer, other := newSigner(t), newSigner(t)
	key, message := signer.PublicKey(), []byte(`{"v":1}`)
	good := mustSign(t, signer, NamespaceEvent, message)
	if err := Verify(key, NamespaceEvent, message, good); err != nil {
		t.Fatal(err)
	}
	wire := func() []byte {
		block, _ := pem.Decode(good)
		return block.Bytes
	}
	lines := strings.SplitAfter(string(good), "\n")

	tests := map[string]struct {
		key     PublicKey
		ns      Namespace
		message []byte
		armored []byte
		wantErr error
	}{
		"message changed":           {key, NamespaceEvent, []byte(`{"v":2}`), good, ErrSignature},
		"message empty":             {key, NamespaceEvent, nil, good, ErrSignature},
		"message longer":            {key, NamespaceEvent, []byte(`{"v":1} `), good, ErrSignature},
		"other key":                 {other.PublicKey(), NamespaceEvent, message, good, ErrSigner},
		"no key":                    {PublicKey{}, NamespaceEvent, message, good, ErrPublicKey},
		"other namespace":           {key, NamespaceSession, message, good, ErrNamespace},
		"foreign namespace":         {key, "git", message, good, ErrNamespace},
		"no namespace":              {key, "", message, good, ErrNamespace},
		"empty":                     {key, NamespaceEvent, message, nil, ErrSignatureForm},
		"not armored":               {key, NamespaceEvent, message, wire(), ErrSignatureForm},
		"too long":                  {key, NamespaceEvent, message, append(bytes.Clone(good), make([]byte, MaxSignature)...), ErrSignatureForm},
		"text before":               {key, NamespaceEvent, message, append([]byte("x\n"), good...), ErrSignatureForm},
		"text after":                {key, NamespaceEvent, message, append(bytes.Clone(good), 'x'), ErrSignatureForm},
		"no last newline":           {key, NamespaceEvent, message, bytes.TrimSpace(good), ErrSignatureForm},
		"CRLF":                      {key, NamespaceEvent, message, bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")), ErrSignatureForm},
		"other wrapping":            {key, NamespaceEvent, message, pem.EncodeToMemory(&pem.Block{Type: sshsig.PEMType, Bytes: wire()}), ErrSignatureForm},
		"header in armor":           {key, NamespaceEvent, message, []byte(lines[0] + "A: b\n\n" + strings.Join(lines[1:], "")), ErrSignatureForm},
		"other armor":               {key, NamespaceEvent, message, bytes.ReplaceAll(good, []byte("SSH SIGNATURE"), []byte("PGP SIGNATURE")), ErrSignatureForm},
		"twice":                     {key, NamespaceEvent, message, append(bytes.Clone(good), good...), ErrSignatureForm},
		"bytes after the blob":      {key, NamespaceEvent, message, pem.EncodeToMemory(&pem.Block{Type: sshsig.PEMType, Bytes: append(wire(), 0)}), ErrSignatureForm},
		"version 2":                 {key, NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.Version = 2 }), ErrSignatureForm},
		"sha1":                      {key, NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.HashAlgorithm = "sha1" }), ErrSignatureForm},
		"hash exchanged":            {key, NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.HashAlgorithm = "sha256" }), ErrSignature},
		"namespace exchanged":       {key, NamespaceSession, message, edited(t, good, func(s *sshsig.Signature) { s.Namespace = string(NamespaceSession) }), ErrSignature},
		"key exchanged":             {other.PublicKey(), NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.PublicKey = other.signer.PublicKey() }), ErrSignature},
		"signature flipped":         {key, NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.Signature.Blob[0] ^= 1 }), ErrSignature},
		"signature cut":             {key, NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.Signature.Blob = s.Signature.Blob[1:] }), ErrSignature},
		"signature format":          {key, NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.Signature.Format = "ssh-rsa" }), ErrSignature},
		"bytes after the signature": {key, NamespaceEvent, message, edited(t, good, func(s *sshsig.Signature) { s.Signature.Rest = []byte{1, 0, 0, 0, 0} }), ErrSignatureForm},
	}
	for name, tt := range tests {
		if err := Verify(tt.key, tt.ns, tt.message, tt.armored); !errors.Is(err, tt.wantErr) {
			t.Errorf("%s: %v, want %v", name, err, tt.wantErr)
		}
	}
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 1
		if err := Verify(key, NamespaceEvent, message, bad); err == nil {
			t.Errorf("bit flipped in byte %d: accepted", i)
		}
	}
}

// TestVerifySHA256 takes signatures made with ssh-keygen -O hashalg=sha256.
func TestVerifySHA256(t *testing.T) {
	signer := newSigner(t)
	sig, err := sshsig.Sign(strings.NewReader("x"), signer.signer, sshsig.HashSHA256, string(NamespaceEvent))
	if err != nil {
		t.Fatal(err)
	}
	if err := Verify(signer.PublicKey(), NamespaceEvent, []byte("x"), armor(sig)); err != nil {
		t.Error(err)
	}
}

// TestVerifyECDSASpelling writes r with a spare zero byte, which the ssh
// package reads as the same number.
func TestVerifyECDSASpelling(t *testing.T) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	key, err := newPublicKey(signer.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	good, err := sign(signer, key, NamespaceEvent, []byte("x"))
	if err != nil {
		t.Fatal(err)
	}
	bad := edited(t, good, func(s *sshsig.Signature) {
		var number struct{ R, S []byte }
		if err := ssh.Unmarshal(s.Signature.Blob, &number); err != nil {
			t.Fatal(err)
		}
		number.R = append([]byte{0}, number.R...)
		s.Signature.Blob = ssh.Marshal(number)
	})
	if err := Verify(key, NamespaceEvent, []byte("x"), bad); !errors.Is(err, ErrSignatureForm) {
		t.Errorf("%v, want %v", err, ErrSignatureForm)
	}
}

// skSign signs as a FIDO token would (OpenSSH PROTOCOL.u2f), with the flags
// and bytes after the counter that the test wants.
func skSign(t *testing.T, private crypto.Signer, key PublicKey, ns Namespace, message []byte, flags byte, spare ...byte) []byte {
	t.Helper()
	hash := sha512.Sum512(message)
	signed := append([]byte("SSHSIG"), ssh.Marshal(struct {
		Namespace, Reserved, Algorithm string
		Hash                           []byte
	}{string(ns), "", "sha512", hash[:]})...)
	application, digest := sha256.Sum256([]byte("ssh:")), sha256.Sum256(signed)
	after := append([]byte{flags, 0, 0, 0, 7}, spare...)
	input := append(append(application[:], after[:5]...), digest[:]...)

	sig := &ssh.Signature{Format: key.Type(), Rest: after}
	switch private := private.(type) {
	case ed25519.PrivateKey:
		sig.Blob = ed25519.Sign(private, input)
	case *ecdsa.PrivateKey:
		sum := sha256.Sum256(input)
		r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		sig.Blob = ssh.Marshal(struct{ R, S *big.Int }{r, s})
	}
	public, err := key.ssh()
	if err != nil {
		t.Fatal(err)
	}
	return armor(&sshsig.Signature{Version: 1, PublicKey: public, Namespace: string(ns), HashAlgorithm: "sha512", Signature: sig})
}

func TestVerifyPresence(t *testing.T) {
	_, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ecPrivate, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, private := range []crypto.Signer{edPrivate, ecPrivate} {
		key, message := skPublicKey(t, private.Public()), []byte("touch me")
		t.Run(key.Type(), func(t *testing.T) {
			const present, verified = 0x01, 0x04
			tests := map[string]struct {
				armored []byte
				wantErr error
			}{
				"present":              {skSign(t, private, key, NamespaceEvent, message, present), nil},
				"present and verified": {skSign(t, private, key, NamespaceEvent, message, present|verified), nil},
				"absent":               {skSign(t, private, key, NamespaceEvent, message, 0), ErrPresence},
				"only verified":        {skSign(t, private, key, NamespaceEvent, message, verified), ErrPresence},
				"spare byte":           {skSign(t, private, key, NamespaceEvent, message, present, 0), ErrSignatureForm},
				"flag added later": {edited(t, skSign(t, private, key, NamespaceEvent, message, 0),
					func(s *sshsig.Signature) { s.Signature.Rest[0] |= present }), ErrSignature},
				"no flags": {edited(t, skSign(t, private, key, NamespaceEvent, message, present),
					func(s *sshsig.Signature) { s.Signature.Rest = nil }), ErrSignatureForm},
			}
			for name, tt := range tests {
				if err := Verify(key, NamespaceEvent, message, tt.armored); !errors.Is(err, tt.wantErr) {
					t.Errorf("%s: %v, want %v", name, err, tt.wantErr)
				}
			}
			keygenVerify(t, key, NamespaceEvent, message, tests["present"].armored)
		})
	}
}

func FuzzParseSignature(f *testing.F) {
	signer := newSigner(f)
	good := mustSign(f, signer, NamespaceEvent, []byte("x"))
	f.Add(good)
	f.Add(bytes.ToLower(good))
	block, _ := pem.Decode(good)
	f.Add([]byte("-----BEGIN SSH SIGNATURE-----\n" + base64.StdEncoding.EncodeToString(block.Bytes) + "\n-----END SSH SIGNATURE-----\n"))
	f.Fuzz(func(t *testing.T, armored []byte) {
		sig, err := parseSignature(armored)
		if err != nil {
			if !errors.Is(err, ErrSignatureForm) || sig != nil {
				t.Fatalf("%v, %v", sig, err)
			}
			return
		}
		if !bytes.Equal(armor(sig), armored) {
			t.Fatalf("%q has a second spelling", armored)
		}
		if err := Verify(signer.PublicKey(), NamespaceEvent, []byte("y"), armored); err == nil {
			t.Fatalf("%q accepted for another message", armored)
		}
	})
}
