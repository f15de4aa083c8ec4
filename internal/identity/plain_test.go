package identity

import (
	"bytes"
	"crypto/ed25519"
	"slices"
	"testing"

	"github.com/hiddeco/sshsig"
)

// TestVerifyPlain: the short way takes what is made with both kinds of hash, and nothing
// that the long one refuses, whichever byte is changed, added or left out.
func TestVerifyPlain(t *testing.T) {
	signer, message := newSigner(t), []byte(`{"v":1}`)
	key := signer.PublicKey()
	for _, by := range []ed25519Check{ed25519.Verify, newKeyTable(key).verify} {
		testVerifyPlain(t, signer, message, by)
	}
}

func testVerifyPlain(t *testing.T, signer *KeyFile, message []byte, by ed25519Check) {
	key := signer.PublicKey()
	verifyPlain := func(key PublicKey, ns Namespace, message, armored []byte) bool {
		return verifyPlain(key, ns, message, armored, by)
	}
	for _, hash := range []sshsig.HashAlgorithm{sshsig.HashSHA512, sshsig.HashSHA256} {
		sig, err := sshsig.Sign(bytes.NewReader(message), signer.signer, hash, string(NamespaceEvent))
		if err != nil {
			t.Fatal(err)
		}
		good := armor(sig)
		if !verifyPlain(key, NamespaceEvent, message, good) {
			t.Errorf("%s: refused", hash)
		}
		if verifyPlain(key, NamespaceSession, message, good) || verifyPlain(newSigner(t).PublicKey(), NamespaceEvent, message, good) ||
			verifyPlain(key, NamespaceEvent, append(message, ' '), good) || verifyPlain(PublicKey{}, NamespaceEvent, message, good) {
			t.Errorf("%s: it is of another namespace, key or message", hash)
		}
		check := func(changed []byte) {
			t.Helper()
			if !bytes.Equal(changed, good) && verifyPlain(key, NamespaceEvent, message, changed) &&
				verifyAny(key, NamespaceEvent, message, changed) != nil {
				t.Errorf("%s: only one way takes %q", hash, changed)
			}
		}
		for i := range good {
			for _, b := range []byte{'A', 'B', 'E', '=', '\n', '\r', '-', 0, good[i] ^ 1, good[i] ^ 2, good[i] ^ 4} {
				changed := bytes.Clone(good)
				changed[i] = b
				check(changed)
				check(slices.Insert(bytes.Clone(good), i, b))
			}
			check(slices.Delete(bytes.Clone(good), i, i+1))
		}
	}
}

// FuzzVerifyPlain: as TestVerifyPlain.
func FuzzVerifyPlain(f *testing.F) {
	signer, message := newSigner(f), []byte(`{"v":1}`)
	armored, err := signer.Sign(f.Context(), NamespaceEvent, message)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(armored)
	f.Fuzz(func(t *testing.T, armored []byte) {
		if verifyPlain(signer.PublicKey(), NamespaceEvent, message, armored, ed25519.Verify) && verifyAny(signer.PublicKey(), NamespaceEvent, message, armored) != nil {
			t.Errorf("only one way takes %q", armored)
		}
	})
}

func BenchmarkVerify(b *testing.B) {
	signer, message := newSigner(b), bytes.Repeat([]byte("x"), 500)
	armored := mustSign(b, signer, NamespaceEvent, message)
	for b.Loop() {
		if err := Verify(signer.PublicKey(), NamespaceEvent, message, armored); err != nil {
			b.Fatal(err)
		}
	}
}
