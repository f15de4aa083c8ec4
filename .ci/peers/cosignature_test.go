package peers

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"path/filepath"
	"testing"
	"time"

	f_log "github.com/transparency-dev/formats/log"
	f_note "github.com/transparency-dev/formats/note"
	"github.com/transparency-dev/tessera"
	"github.com/transparency-dev/tessera/storage/posix"
	"golang.org/x/mod/sumdb/note"

	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
	"github.com/custodyd/custodyd/internal/witness"
)

// ledgerNote gives a signed checkpoint and the key pair it is signed with.
func ledgerNote(t *testing.T, origin ledger.Origin) (c ledger.Checkpoint, signed []byte, key ledger.VerifierKey, skey string) {
	t.Helper()
	skey, vkey, err := ledger.GenerateKey(rand.Reader, origin)
	if err != nil {
		t.Fatal(err)
	}
	if key, err = ledger.ParseVerifierKey(vkey); err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	c = ledger.Checkpoint{Origin: origin, Size: 1, Root: ledger.LeafHash([]byte("entry"))}
	if signed, err = note.Sign(&note.Note{Text: string(c.Body())}, signer); err != nil {
		t.Fatal(err)
	}
	return c, signed, key, skey
}

// TestCosignature: what we cosign they verify, what they cosign we verify, and each reads
// the other's keys and checkpoints.
func TestCosignature(t *testing.T) {
	c, signed, key, _ := ledgerNote(t, "lab.example/custody")
	skey, vkey, err := ledger.GenerateWitnessKey(rand.Reader, "Witness.example:8422/w1")
	if err != nil {
		t.Fatal(err)
	}
	ours, err := ledger.NewCosigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := f_note.NewSignerForCosignatureV1(skey)
	if err != nil {
		t.Fatal(err)
	}
	theirVerifier, err := f_note.NewVerifierForCosignatureV1(vkey)
	if err != nil {
		t.Fatal(err)
	}
	if theirs.KeyHash() != ours.Key().KeyHash() || theirVerifier.KeyHash() != ours.Key().KeyHash() || theirVerifier.Name() != ours.Key().Name() {
		t.Errorf("%08x and %08x, ours %08x", theirs.KeyHash(), theirVerifier.KeyHash(), ours.Key().KeyHash())
	}
	logVerifier, err := note.NewVerifier(key.String())
	if err != nil {
		t.Fatal(err)
	}

	at := time.Unix(1_770_000_000, 0)
	line, err := ours.Cosign(c.Body(), at)
	if err != nil {
		t.Fatal(err)
	}
	parsed, _, opened, err := f_log.ParseCheckpoint(append(bytes.Clone(signed), line...), string(c.Origin), logVerifier, theirVerifier)
	if err != nil || parsed.Size != 1 || !bytes.Equal(parsed.Hash, c.Root[:]) || len(opened.Sigs) != 2 {
		t.Fatalf("%+v %+v: %v", parsed, opened, err)
	}
	if got, err := f_note.CoSigV1Timestamp(opened.Sigs[1]); err != nil || !got.Equal(at) {
		t.Errorf("they read the time %s: %v", got, err)
	}

	before := time.Now().Truncate(time.Second)
	again, err := note.Sign(&note.Note{Text: string(c.Body())}, theirs)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := ours.Key().Cosignature(again); err != nil || got.Before(before) {
		t.Errorf("%s: %v", got, err)
	}
	merged, err := ledger.Cosigned(key, []ledger.WitnessKey{ours.Key()}, signed, again)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := note.Open(merged, note.VerifierList(logVerifier)); err != nil {
		t.Error(err)
	}
	// What one refuses, so does the other.
	spoilt := bytes.Replace(again, []byte("\n1\n"), []byte("\n2\n"), 1)
	_, err = note.Open(spoilt, note.VerifierList(theirVerifier))
	if _, ourErr := ours.Key().Cosignature(spoilt); err == nil || ourErr == nil {
		t.Errorf("%v, ours %v", err, ourErr)
	}
}

// TestPolicyWords: Tessera reads the witnesses, groups and quorum of our policies, once
// they have addresses, and both judge the same lines alike.
func TestPolicyWords(t *testing.T) {
	c, signed, key, _ := ledgerNote(t, "lab.example/custody")
	var names, lines, members []string
	text := fmt.Sprintf("log %s\n", key)
	foreign := text
	for i := range 4 {
		skey, vkey, err := ledger.GenerateWitnessKey(rand.Reader, fmt.Sprintf("w%d.example", i))
		if err != nil {
			t.Fatal(err)
		}
		w, err := ledger.NewCosigner(skey)
		if err != nil {
			t.Fatal(err)
		}
		line, err := w.Cosign(c.Body(), time.Unix(1_770_000_000, 0))
		if err != nil {
			t.Fatal(err)
		}
		names, lines = append(names, fmt.Sprintf("w%d", i)), append(lines, line)
		text += fmt.Sprintf("witness w%d %s\n", i, vkey)
		foreign += fmt.Sprintf("witness w%d %s https://w%d.example\n", i, vkey, i)
		members = append(members, names[i])
	}
	rules := fmt.Sprintf("group labs 2 %s %s %s\ngroup both all labs %s\nquorum both\n", members[0], members[1], members[2], members[3])
	group, err := tessera.NewWitnessGroupFromPolicy([]byte(foreign + rules))
	if err != nil {
		t.Fatal(err)
	}
	policy, err := verify.ParsePolicy([]byte("origin lab.example/custody\n" + text + rules))
	if err != nil {
		t.Fatal(err)
	}
	for set := range 1 << len(lines) {
		cosigned := bytes.Clone(signed)
		for i, line := range lines {
			if set&(1<<i) != 0 {
				cosigned = append(cosigned, line...)
			}
		}
		list, err := policy.Cosignatures(cosigned)
		if err != nil {
			t.Fatal(err)
		}
		valid := map[string]bool{}
		for _, w := range list {
			valid[w.Name] = w.State == verify.CosignedValid
		}
		ours := policy.Reached(func(name string) bool { return valid[name] })
		if theirs := group.Satisfied(cosigned); ours != theirs {
			t.Errorf("of %04b: %t, theirs %t", set, ours, theirs)
		}
	}
}

// TestTesseraWitnessed: Tessera, a log of others, has its checkpoints cosigned by our
// witness, from its first on.
func TestTesseraWitnessed(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	_, _, key, skey := ledgerNote(t, "tessera.example/log")
	dir := filepath.Join(t.TempDir(), "witness")
	wkey, err := witness.Create(dir, "w.example", rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w, err := witness.Open(witness.Config{
		Dir: dir, Logs: []ledger.VerifierKey{key}, Now: time.Now, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close() //nolint:errcheck // after everything was asked
	server := httptest.NewServer(w.Handler())
	defer server.Close()
	group, err := tessera.NewWitnessGroupFromPolicy(fmt.Appendf(nil, "witness w %s %s\nquorum w\n", wkey, server.URL))
	if err != nil {
		t.Fatal(err)
	}

	driver, err := posix.New(ctx, posix.Config{Path: filepath.Join(t.TempDir(), "log")})
	if err != nil {
		t.Fatal(err)
	}
	signer, err := note.NewSigner(skey)
	if err != nil {
		t.Fatal(err)
	}
	appender, shutdown, reader, err := tessera.NewAppender(ctx, driver, tessera.NewAppendOptions().
		WithCheckpointSigner(signer).
		WithBatching(1, 10*time.Millisecond).
		WithCheckpointInterval(100*time.Millisecond).
		WithWitnesses(group, &tessera.WitnessOptions{FailOpen: false}))
	if err != nil {
		t.Fatal(err)
	}
	await := tessera.NewPublicationAwaiter(ctx, reader.ReadCheckpoint, 50*time.Millisecond)
	for i := range 5 {
		_, published, err := await.Await(ctx, appender.Add(ctx, tessera.NewEntry(fmt.Appendf(nil, "entry %d", i))))
		if err != nil {
			t.Fatal(err)
		}
		c, err := ledger.OpenCheckpoint(published, key)
		if err != nil || c.Size <= int64(i) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := wkey.Cosignature(published); err != nil {
			t.Errorf("at %d: %v", c.Size, err)
		}
	}
	if err := shutdown(ctx); err != nil {
		t.Error(err)
	}
	if c, err := ledger.OpenCheckpoint(w.Held("tessera.example/log"), key); err != nil || c.Size != 5 {
		t.Errorf("the witness holds %+v: %v", c, err)
	}
}
