package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/ssh"
)

// keyOf gives any 32 bytes as an Ed25519 key, whatever ParsePublicKey says of it.
func keyOf(t testing.TB, public []byte) PublicKey {
	t.Helper()
	k, err := ssh.NewPublicKey(ed25519.PublicKey(public))
	if err != nil {
		t.Fatal(err)
	}
	return PublicKey{strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k)))}
}

func fromHex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// smallOrder are encodings of the points whose order divides 8, and others that no
// encoder writes of the same points.
var smallOrder = []string{
	"0100000000000000000000000000000000000000000000000000000000000000",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0000000000000000000000000000000000000000000000000000000000000080",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
	"0100000000000000000000000000000000000000000000000000000000000080",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
}

// TestKeyTable: the table of a key takes the signatures that crypto/ed25519 takes, and no
// other, whichever bit is changed.
func TestKeyTable(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	table := newKeyTable(keyOf(t, public))
	message := []byte("a message")
	sig := ed25519.Sign(private, message)
	if !table.verify(public, message, sig) {
		t.Error("a good signature is refused")
	}
	same := func(public, message, sig []byte) {
		t.Helper()
		if ed25519.Verify(public, message, sig) || table.verify(public, message, sig) {
			t.Errorf("%x over %q is taken", sig, message)
		}
	}
	for i := range len(sig) * 8 {
		changed := bytes.Clone(sig)
		changed[i/8] ^= 1 << (i % 8)
		same(public, message, changed)
	}
	for i := range len(message) * 8 {
		changed := bytes.Clone(message)
		changed[i/8] ^= 1 << (i % 8)
		same(public, changed, sig)
	}
	// S and S + L, for the order L of the generator, would be one scalar.
	order := fromHex(t, "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
	more, carry := bytes.Clone(sig), 0
	for i, b := range order {
		carry += int(b) + int(sig[32+i])
		more[32+i], carry = byte(carry), carry>>8
	}
	same(public, message, more)
	for _, n := range []int{0, 32, 63} {
		if table.verify(public, message, sig[:n]) {
			t.Errorf("%d bytes of a signature are taken", n)
		}
	}
	if table.verify(public, message, append(bytes.Clone(sig), 0)) {
		t.Error("a signature with a byte behind it is taken")
	}
	// The one that a hash over another key would make hold.
	other, _, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	h := sha512.Sum512(private.Seed())
	a, err := new(edwards25519.Scalar).SetBytesWithClamping(h[:32])
	if err != nil {
		t.Fatal(err)
	}
	if !table.verify(public, message, signWith(t, a, public, message)) || table.verify(other, message, signWith(t, a, other, message)) {
		t.Error("the table of a key is that of another")
	}
}

// TestKeyTableCrafted: whoever holds a key can make signatures, and keys, that
// implementations judge differently. The table judges them as crypto/ed25519 does.
func TestKeyTableCrafted(t *testing.T) {
	taken, refused := 0, 0
	compare := func(table *keyTable, message, sig []byte) {
		t.Helper()
		public := table.public[:]
		want := ed25519.Verify(public, message, sig)
		if table.verify(public, message, sig) != want {
			t.Errorf("key %x, message %x, signature %x: crypto/ed25519 says %v", public, message, sig, want)
		}
		if want {
			taken++
		} else {
			refused++
		}
	}
	// Keys and R of small order with S = 0: the equation is one of the small group.
	for _, a := range smallOrder {
		table := newKeyTable(keyOf(t, fromHex(t, a)))
		for i, r := range smallOrder {
			compare(table, []byte{byte(i)}, append(fromHex(t, r), make([]byte, 32)...))
		}
	}
	// A key A + T for T of order 8: with the cofactor each signature would hold, without it
	// one in 8.
	torsion, err := new(edwards25519.Point).SetBytes(fromHex(t, smallOrder[4]))
	if err != nil {
		t.Fatal(err)
	}
	var seed [64]byte
	seed[0] = 7
	a, err := new(edwards25519.Scalar).SetUniformBytes(seed[:])
	if err != nil {
		t.Fatal(err)
	}
	public := new(edwards25519.Point).ScalarBaseMult(a)
	public.Add(public, torsion)
	table := newKeyTable(keyOf(t, public.Bytes()))
	for n := range 64 {
		message := []byte(fmt.Sprint("message ", n))
		compare(table, message, signWith(t, a, public.Bytes(), message))
	}
	if taken < 8 || refused < 64 {
		t.Errorf("%d taken and %d refused show nothing", taken, refused)
	}
}

// signWith signs with a scalar, for a key that need not be its own.
func signWith(t testing.TB, a *edwards25519.Scalar, public, message []byte) []byte {
	t.Helper()
	var nonce [64]byte
	nonce[0] = 9
	r, err := new(edwards25519.Scalar).SetUniformBytes(nonce[:])
	if err != nil {
		t.Fatal(err)
	}
	sig := new(edwards25519.Point).ScalarBaseMult(r).Bytes()
	sum := sha512.Sum512(slices.Concat(sig, public, message))
	k, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return append(sig, new(edwards25519.Scalar).MultiplyAdd(k, a, r).Bytes()...)
}

// TestMultiples: every digit of a scalar counts, and for as much as it stands for.
func TestMultiples(t *testing.T) {
	p := new(edwards25519.Point).Add(edwards25519.NewGeneratorPoint(), edwards25519.NewGeneratorPoint())
	m := new(multiples)
	m.set(p)
	var scalar [32]byte
	check := func() {
		t.Helper()
		s, err := new(edwards25519.Scalar).SetCanonicalBytes(scalar[:])
		if err != nil {
			return // not below the order
		}
		got := edwards25519.NewIdentityPoint()
		m.add(got, s)
		if got.Equal(new(edwards25519.Point).ScalarMult(s, p)) != 1 {
			t.Errorf("the product with %x is another", scalar)
		}
	}
	check()
	for i := range scalar {
		for _, digit := range []byte{255, 129, 128, 127, 16, 1, 0} {
			scalar[i] = digit
			check()
		}
	}
	for i := range scalar[:31] { // every digit with a carry, and carries through all
		scalar[i] = 255
		check()
	}
	for range 400 {
		_, _ = rand.Read(scalar[:])
		scalar[31] &= 15
		check()
	}
}

// TestVerifier: it judges as Verify does, before a key has a table and after, also at
// once.
func TestVerifier(t *testing.T) {
	signer, message := newSigner(t), []byte(`{"v":1}`)
	good := mustSign(t, signer, NamespaceEvent, message)
	bad := slices.Clone(mustSign(t, signer, NamespaceEvent, []byte(`{"v":2}`)))
	var v Verifier
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for range 2 * familiarAfter {
				if err := v.Verify(signer.PublicKey(), NamespaceEvent, message, good); err != nil {
					t.Error(err)
				}
				if err := v.Verify(signer.PublicKey(), NamespaceEvent, message, bad); !errors.Is(err, ErrSignature) {
					t.Error(err)
				}
				if err := v.Verify(signer.PublicKey(), NamespaceSession, message, good); !errors.Is(err, ErrNamespace) {
					t.Error(err)
				}
				if err := v.Verify(PublicKey{}, NamespaceEvent, message, good); !errors.Is(err, ErrPublicKey) {
					t.Error(err)
				}
			}
		})
	}
	running.Wait()
	if v.table(signer.PublicKey()) == nil || v.table(PublicKey{}) != nil {
		t.Error("the key has no table, or what is no key has one")
	}
	for range maxFamiliar {
		key := newSigner(t).PublicKey()
		for range familiarAfter {
			v.table(key)
		}
	}
	if v.tables != maxFamiliar {
		t.Errorf("%d tables, at most %d", v.tables, maxFamiliar)
	}
}

// FuzzKeyTable: as TestKeyTableCrafted, of signatures that hold, that hold but for the
// cofactor, and that do not: key and nonce are moved by points of small order, S by a
// little.
func FuzzKeyTable(f *testing.F) {
	for move := range byte(4) {
		f.Add([]byte("key"), []byte("nonce"), []byte("message"), move, move, move)
	}
	f.Fuzz(func(t *testing.T, key, nonce, message []byte, moveA, moveR, moveS byte) {
		scalar := func(seed []byte) *edwards25519.Scalar {
			sum := sha512.Sum512(seed)
			s, err := new(edwards25519.Scalar).SetUniformBytes(sum[:])
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		moved := func(s *edwards25519.Scalar, by byte) []byte {
			p, err := new(edwards25519.Point).SetBytes(fromHex(t, smallOrder[int(by)%len(smallOrder)]))
			if err != nil {
				t.Fatal(err)
			}
			return p.Add(p, new(edwards25519.Point).ScalarBaseMult(s)).Bytes()
		}
		a, r := scalar(key), scalar(nonce)
		public, first := moved(a, moveA), moved(r, moveR)
		sig := slices.Concat(first, new(edwards25519.Scalar).MultiplyAdd(scalar(slices.Concat(first, public, message)), a, r).Bytes())
		sig[32] ^= moveS &^ 3 // mostly not at all
		if want := ed25519.Verify(public, message, sig); newKeyTable(keyOf(t, public)).verify(public, message, sig) != want {
			t.Errorf("key %x, message %x, signature %x: crypto/ed25519 says %v", public, message, sig, want)
		}
	})
}

func BenchmarkVerifier(b *testing.B) {
	signer, message := newSigner(b), bytes.Repeat([]byte("x"), 500)
	armored := mustSign(b, signer, NamespaceEvent, message)
	var v Verifier
	for b.Loop() {
		if err := v.Verify(signer.PublicKey(), NamespaceEvent, message, armored); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkKeyTable(b *testing.B) {
	key := newSigner(b).PublicKey()
	for b.Loop() {
		newKeyTable(key)
	}
}
