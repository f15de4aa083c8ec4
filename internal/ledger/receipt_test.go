package ledger

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func testReceipt(t testing.TB, w *writer, index int64) Receipt {
	t.Helper()
	proof, err := ProveInclusion(w.head.Size, index, w.store)
	if err != nil {
		t.Fatal(err)
	}
	return Receipt{Index: index, Envelope: w.lines[index], Proof: proof, Checkpoint: sign(t, w)}
}

func TestReceipt(t *testing.T) {
	w := testLedger()
	key := testKey(t)
	for index := range w.head.Size {
		want := testReceipt(t, w, index)
		got, err := ParseReceipt(want.Marshal())
		if err != nil || !cmp.Equal(got, want) {
			t.Fatalf("receipt %d reads as %+v, %v", index, got, err)
		}
		e, c, err := got.Verify(key)
		if err != nil || !bytes.Equal(e.Bytes(), w.lines[index]) || c != w.checkpoint() {
			t.Errorf("receipt %d says %+v, %+v, %v", index, e, c, err)
		}
	}
	one := new(writer)
	one.add(draft(0, caseA, Event))
	r, err := ParseReceipt(testReceipt(t, one, 0).Marshal())
	if err != nil || len(r.Proof) != 0 {
		t.Fatal(r, err)
	}
	if _, _, err := r.Verify(key); err != nil {
		t.Errorf("receipt of the only entry: %v", err)
	}
}

func TestReceiptVerify(t *testing.T) {
	w := testLedger()
	elsewhere := testLedger().lines
	foreign := change(7, func(e *Envelope) { e.Log = "example.org/other" })(t, elsewhere)[7]
	strangerKey := VerifierKey{origin: testOrigin, key: [32]byte{1}}
	for _, tt := range []struct {
		name    string
		tamper  func(*Receipt)
		key     VerifierKey
		wantErr error
	}{
		{"good", func(*Receipt) {}, testKey(t), nil},
		{"for another key", func(*Receipt) {}, strangerKey, ErrUnsigned},
		{"for the zero key", func(*Receipt) {}, VerifierKey{}, ErrUnsigned},
		{"checkpoint altered", func(r *Receipt) { r.Checkpoint[len(testOrigin)+2] = '3' }, testKey(t), ErrUnsigned},
		{"another entry's envelope", func(r *Receipt) { r.Envelope = w.lines[4] }, testKey(t), ErrSequence},
		{"another entry's index", func(r *Receipt) { r.Index = 4 }, testKey(t), ErrSequence},
		{"another entry's both", func(r *Receipt) { r.Index, r.Envelope = 4, w.lines[4] }, testKey(t), ErrProof},
		{"another ledger's envelope", func(r *Receipt) { r.Envelope = foreign }, testKey(t), ErrOrigin},
		{"no envelope", func(r *Receipt) { r.Envelope = nil }, testKey(t), ErrEnvelope},
		{"envelope altered", func(r *Receipt) {
			r.Envelope = bytes.Replace(r.Envelope, []byte("event"), []byte("keys"), 1)
		}, testKey(t), ErrProof},
		{"proof altered", func(r *Receipt) { r.Proof[1][0] ^= 1 }, testKey(t), ErrProof},
		{"proof cut", func(r *Receipt) { r.Proof = r.Proof[1:] }, testKey(t), ErrProof},
		{"proof longer", func(r *Receipt) { r.Proof = append(r.Proof, Hash{}) }, testKey(t), ErrProof},
		{"proof swapped", func(r *Receipt) { r.Proof[0], r.Proof[1] = r.Proof[1], r.Proof[0] }, testKey(t), ErrProof},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := testReceipt(t, w, 7)
			tt.tamper(&r)
			e, c, err := r.Verify(tt.key)
			if !errors.Is(err, tt.wantErr) {
				t.Errorf("error %v, want %v", err, tt.wantErr)
			}
			if err != nil && (e != Envelope{} || c != Checkpoint{}) {
				t.Errorf("error with values %+v, %+v", e, c)
			}
		})
	}
}

func TestParseReceipt(t *testing.T) {
	good := string(testReceipt(t, testLedger(), 7).Marshal())
	lines := strings.SplitAfter(good, "\n")
	for _, tt := range []struct {
		name, old, new string
	}{
		{"another version", "proof@v1", "proof@v2"},
		{"no header", lines[0], ""},
		{"no extra", lines[1], ""},
		{"empty extra", lines[1], "extra \n"},
		{"extra not base64", "extra ", "extra !"},
		{"extra twice", lines[1], lines[1] + lines[1]},
		{"extra too long", "extra ", "extra " + strings.Repeat("AAAA", 200)},
		{"no index", lines[2], ""},
		{"index with a zero", "index 7", "index 07"},
		{"index negative", "index 7", "index -7"},
		{"index 2^53", "index 7", "index 9007199254740992"},
		{"index with a tab", "index 7", "index\t7"},
		{"hash cut", lines[3], lines[3][4:]},
		{"hash not base64", lines[3], "!" + lines[3][1:]},
		{"hash with spare bits", lines[3], lines[3][:42] + "b=\n"},
		{"too many hashes", lines[3], strings.Repeat(lines[3], 51)},
		{"carriage return", "index 7", "index 7\r"},
		{"no checkpoint", good[strings.Index(good, "\n\n"):], "\n\n"},
		{"no empty line", good[strings.Index(good, "\n\n"):], "\n"},
		{"nothing", good, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			bad := strings.Replace(good, tt.old, tt.new, 1)
			if bad == good {
				t.Fatalf("%q does not stand in %s", tt.old, good)
			}
			r, err := ParseReceipt([]byte(bad))
			if !errors.Is(err, ErrReceipt) || !cmp.Equal(r, Receipt{}) {
				t.Errorf("reads as %+v, %v, want %v", r, err, ErrReceipt)
			}
		})
	}
}

func FuzzParseReceipt(f *testing.F) {
	f.Add(testReceipt(f, testLedger(), 7).Marshal())
	f.Add(testReceipt(f, testLedger(), 11).Marshal())
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := ParseReceipt(b)
		if err == nil && !bytes.Equal(r.Marshal(), b) || err != nil && !errors.Is(err, ErrReceipt) {
			t.Fatalf("%q reads as %+v, %v", b, r, err)
		}
	})
}
