package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha512"
	"sync"

	"filippo.io/edwards25519"
	"golang.org/x/crypto/ssh"
)

const (
	// familiarAfter is how many signatures of a key make a table worth while.
	familiarAfter = 256
	// maxFamiliar is how many keys have one, at most: each takes 640 KiB.
	maxFamiliar = 32
)

// Verifier is [Verify] for who has many signatures of few keys: with a table of an
// Ed25519 key it takes less than half the time. The zero value is ready. It may be used
// concurrently.
type Verifier struct {
	mu     sync.Mutex
	keys   map[PublicKey]*familiar
	tables int
}

// familiar is a key that was seen.
type familiar struct {
	times int
	table func() *keyTable // nil while it has none
}

// Verify is [Verify].
func (v *Verifier) Verify(key PublicKey, ns Namespace, message, armored []byte) error {
	if table := v.table(key); table != nil {
		return verify(key, ns, message, armored, table.verify)
	}
	return Verify(key, ns, message, armored)
}

// table gives the table of a key that was seen often enough.
func (v *Verifier) table(key PublicKey) *keyTable {
	v.mu.Lock()
	if v.keys == nil {
		v.keys = map[PublicKey]*familiar{}
	}
	f := v.keys[key]
	if f == nil {
		f = &familiar{}
		v.keys[key] = f
	}
	if f.times++; f.times == familiarAfter && v.tables < maxFamiliar && key.Type() == ssh.KeyAlgoED25519 {
		v.tables++
		f.table = sync.OnceValue(func() *keyTable { return newKeyTable(key) })
	}
	table := f.table
	v.mu.Unlock()
	if table == nil {
		return nil
	}
	return table()
}

// keyTable is an Ed25519 key with the multiples of it that a verification adds up.
type keyTable struct {
	public [ed25519.PublicKeySize]byte
	minus  multiples // of the key's point A, negated
}

// newKeyTable gives nil for a key of another kind.
func newKeyTable(key PublicKey) *keyTable {
	wire, ok := key.ed25519Wire(nil)
	if !ok {
		return nil
	}
	t := &keyTable{public: [ed25519.PublicKeySize]byte(wire[len(wire)-ed25519.PublicKeySize:])}
	a, err := new(edwards25519.Point).SetBytes(t.public[:])
	if err != nil {
		return nil
	}
	t.minus.set(a.Negate(a))
	return t
}

// base has the multiples of B, the generator.
var base = sync.OnceValue(func() *multiples {
	m := new(multiples)
	m.set(edwards25519.NewGeneratorPoint())
	return m
})

// verify is [ed25519.Verify] for the key of the table: the same equation over the same
// points. R = SB - kA must have the encoding that the signature brings, and S be below
// the order of B. Adding points on this curve has no special cases, so the way in which
// the sum is made up changes nothing.
//
// SPEC: RFC 8032, section 5.1.7, without the cofactor
func (t *keyTable) verify(public ed25519.PublicKey, message, sig []byte) bool {
	if len(sig) != ed25519.SignatureSize || !bytes.Equal(public, t.public[:]) {
		return false
	}
	s, err := new(edwards25519.Scalar).SetCanonicalBytes(sig[32:])
	if err != nil {
		return false
	}
	h := sha512.New()
	_, _ = h.Write(sig[:32]) // hash.Hash: never an error
	_, _ = h.Write(public)
	_, _ = h.Write(message)
	var sum [sha512.Size]byte
	k, err := new(edwards25519.Scalar).SetUniformBytes(h.Sum(sum[:0]))
	if err != nil {
		return false
	}
	r := edwards25519.NewIdentityPoint()
	base().add(r, s)
	t.minus.add(r, k)
	return bytes.Equal(r.Bytes(), sig[:32])
}

// multiples of a point P: [i][j] is (j+1) * 256^i * P. A scalar is a sum of 32 digits
// from -128 to 127, each times 256^i, so that its product with P is a sum of 32 of them.
type multiples [32][128]edwards25519.Point

func (m *multiples) set(p *edwards25519.Point) {
	next := new(edwards25519.Point).Set(p)
	for i := range m {
		m[i][0].Set(next)
		for j := 1; j < len(m[i]); j++ {
			m[i][j].Add(&m[i][j-1], next)
		}
		half := &m[i][len(m[i])-1]
		next.Add(half, half)
	}
}

// add adds the product of the point and a scalar. That is below 2^253, so the last digit
// carries nothing.
func (m *multiples) add(to *edwards25519.Point, by *edwards25519.Scalar) {
	carry := 0
	for i, b := range by.Bytes() { // the lowest first
		digit := int(b) + carry
		carry = 0
		if digit > 127 {
			digit, carry = digit-256, 1
		}
		switch {
		case digit > 0:
			to.Add(to, &m[i][digit-1])
		case digit < 0:
			to.Subtract(to, &m[i][-digit-1])
		}
	}
}
