package bundle

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"iter"
	"strings"
	"time"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
)

// ErrSource says that what was to be exported is not what it is stated to be.
var ErrSource = errors.New("source of the bundle contradicts itself")

// Source is what a bundle is made of.
type Source struct {
	Reference  evidence.Name
	Created    time.Time          // of the export; the time of every file
	Checkpoint []byte             // signed, of a tree that holds all entries
	Key        ledger.VerifierKey // that signed it
	// Entries are those of the case, up to the seal, and of no case, by rising seq.
	Entries iter.Seq2[Entry, error]
	Objects []Object
	Anchors []Anchor // by size
	// Withheld tells whose payload is not written; nil: all are. Pseudonymous: those of
	// all entries of type keys are not, and allowed_signers names who signed what is there.
	Withheld     func(seq int64, t ledger.Type) bool
	Pseudonymous bool
}

func (src Source) withheld(e ledger.Envelope) bool {
	return src.Withheld != nil && src.Withheld(e.Seq, e.Type)
}

// Entry is one entry of the ledger, each part as it is stored.
type Entry struct {
	Envelope  []byte
	Payload   []byte
	Signature []byte // armoured
	Receipt   []byte // marshalled, with the source's checkpoint
	Erased    bool   // Payload is what stays of it: not written, another entry carries it
}

// Object is what the bundle holds of a copy.
type Object struct {
	Role    evidence.Role
	Exhibit evidence.Name
	Number  evidence.Number
	Size    int64         // bytes
	SHA256  digest.SHA256 // of the bytes
	Open    func(context.Context) (io.ReadCloser, error)
}

// Write writes a bundle. It reads everything once, and holds no more in memory than a
// line for each file. Where the source is not what it states to
// be the error is an ErrSource and what was written cannot be opened.
func Write(ctx context.Context, w io.Writer, src Source) error {
	b, err := newWriter(ctx, w, src)
	if err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	for _, part := range []func() error{b.header, b.entries, b.anchors, b.objects, b.trailer} {
		if err := part(); err != nil {
			return fmt.Errorf("write bundle: %w", err)
		}
	}
	// Only now: a zip without its directory cannot be taken for a bundle.
	if err := b.zip.Close(); err != nil {
		return fmt.Errorf("write bundle: %w", err)
	}
	return nil
}

type writer struct {
	ctx   context.Context
	src   Source
	zip   *zip.Writer
	names map[string]bool // in lower case
	rows  []row
	sum   hash.Hash
	buf   []byte
	size  int64 // of the payload files
}

// row is one line of a manifest.
type row struct {
	path string
	sum  digest.SHA256
}

func newWriter(ctx context.Context, w io.Writer, src Source) (*writer, error) {
	if _, err := evidence.ParseName(string(src.Reference)); err != nil {
		return nil, fmt.Errorf("%w: reference: %w", ErrSource, err)
	}
	return &writer{
		ctx: ctx, src: src, zip: zip.NewWriter(w), names: map[string]bool{}, sum: sha256.New(), buf: make([]byte, 256<<10),
	}, nil
}

// header writes what can be written before the entries.
func (b *writer) header() error {
	body, sig, err := ledger.SplitCheckpoint(b.src.Checkpoint, b.src.Key)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrSource, err)
	}
	pem, err := b.src.Key.PEM()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		path    string
		content []byte
	}{
		{BagItFile, []byte(bagIt)},
		{ReadmeFile, readme(b.src.Reference, b.src.Key.Origin())},
		{VerifierFile, verifier},
		{CheckpointFile, b.src.Checkpoint},
		{CheckpointBodyFile, body},
		{CheckpointSigFile, sig},
		{KeyFile, []byte(b.src.Key.String() + "\n")},
		{KeyPEMFile, pem},
	} {
		if err := b.add(f.path, f.content); err != nil {
			return err
		}
	}
	return nil
}

// entries writes all that concerns the ledger's entries.
func (b *writer) entries() error {
	var lines bytes.Buffer
	var signers signers
	last := int64(-1)
	for e, err := range b.src.Entries {
		if err != nil {
			return err
		}
		envelope, err := b.check(e, last)
		if err != nil {
			return err
		}
		last = envelope.Seq
		withheld := b.src.withheld(envelope)
		if envelope.Type == ledger.Keys && withheld != b.src.Pseudonymous {
			return fmt.Errorf("%w: entry %d: people are left out together or not at all", ErrSource, last)
		}
		if !withheld {
			if err := signers.add(e, envelope.Type, b.src.Pseudonymous); err != nil {
				return fmt.Errorf("%w: entry %d: %w", ErrSource, last, err)
			}
		}
		if !withheld && !e.Erased {
			if err := b.store(EntryPath(KindPayload, last), e.Payload); err != nil {
				return err
			}
		}
		if err := errors.Join(
			b.store(EntryPath(KindSignature, last), e.Signature),
			b.store(EntryPath(KindProof, last), e.Receipt),
		); err != nil {
			return err
		}
		lines.Write(e.Envelope)
		lines.WriteByte('\n')
	}
	if err := b.add(SignersFile, signers.text); err != nil {
		return err
	}
	return b.store(EntriesFile, lines.Bytes())
}

// check refuses an entry with which no bundle could be verified.
func (b *writer) check(e Entry, last int64) (ledger.Envelope, error) {
	envelope, err := ledger.ParseEnvelope(e.Envelope)
	if err != nil {
		return ledger.Envelope{}, fmt.Errorf("%w: after entry %d: %w", ErrSource, last, err)
	}
	receipt, err := ledger.ParseReceipt(e.Receipt)
	switch {
	case err != nil:
		return ledger.Envelope{}, fmt.Errorf("%w: entry %d: %w", ErrSource, envelope.Seq, err)
	case envelope.Seq <= last:
		return ledger.Envelope{}, fmt.Errorf("%w: entry %d after entry %d", ErrSource, envelope.Seq, last)
	case !e.Erased && sha256.Sum256(e.Payload) != envelope.Payload:
		return ledger.Envelope{}, fmt.Errorf("%w: entry %d: another payload", ErrSource, envelope.Seq)
	case sha256.Sum256(e.Signature) != envelope.Sig:
		return ledger.Envelope{}, fmt.Errorf("%w: entry %d: another signature", ErrSource, envelope.Seq)
	case !bytes.Equal(receipt.Envelope, e.Envelope), !bytes.Equal(receipt.Checkpoint, b.src.Checkpoint):
		return ledger.Envelope{}, fmt.Errorf("%w: entry %d: another receipt", ErrSource, envelope.Seq)
	}
	return envelope, nil
}

func (b *writer) objects() error {
	for _, o := range b.src.Objects {
		if err := b.object(o); err != nil {
			return fmt.Errorf("%s of %s/%s: %w", o.Role, o.Exhibit, o.Number, err)
		}
	}
	return nil
}

func (b *writer) object(o Object) (err error) {
	path := CopyPath(o.Role, o.Exhibit, o.Number)
	if _, ok := parsePath(path); !ok {
		return fmt.Errorf("%w: no file can hold it", ErrSource)
	}
	r, err := o.Open(b.ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	w, err := b.create(path, zip.Store)
	if err != nil {
		return err
	}
	for {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		n, end := r.Read(b.buf)
		if w.n+int64(n) > o.Size {
			return fmt.Errorf("%w: more than the stated %d bytes", ErrSource, o.Size)
		}
		if _, err := w.Write(b.buf[:n]); err != nil {
			return err
		}
		if end == io.EOF {
			break
		}
		if end != nil {
			return end
		}
	}
	if w.n != o.Size {
		return fmt.Errorf("%w: %d bytes, stated are %d", ErrSource, w.n, o.Size)
	}
	if sum := b.finish(path, w); sum != o.SHA256 {
		return fmt.Errorf("%w: SHA-256 %s, stated is %s", ErrSource, sum, o.SHA256)
	}
	return nil
}

// trailer writes what depends on all other files.
func (b *writer) trailer() error {
	info := fmt.Sprintf("External-Identifier: %s\nInternal-Sender-Identifier: %s\nBagging-Date: %s\nPayload-Oxum: %d.%d\n",
		b.src.Reference, b.src.Key.Origin(), b.src.Created.UTC().Format(time.DateOnly), b.size, len(b.rows)-1) // but bagit.txt
	if err := b.add(BagInfoFile, []byte(info)); err != nil {
		return err
	}
	if err := b.manifest(ManifestFile, false); err != nil {
		return err
	}
	return b.manifest(TagManifestFile, true)
}

// manifest writes the rows of the tag files or of the payload files.
func (b *writer) manifest(path string, tags bool) error {
	w, err := b.create(path, zip.Store)
	if err != nil {
		return err
	}
	for _, r := range b.rows {
		if isTag(r.path) != tags {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s  %s\n", r.sum, r.path); err != nil {
			return err
		}
	}
	b.finish(path, w)
	return nil
}

// memberWriter counts what is written to a file.
type memberWriter struct {
	io.Writer
	n int64 // bytes so far
}

func (m *memberWriter) Write(p []byte) (int, error) {
	n, err := m.Writer.Write(p)
	m.n += int64(n)
	return n, err
}

func (b *writer) create(path string, method uint16) (*memberWriter, error) {
	if err := b.ctx.Err(); err != nil {
		return nil, err
	}
	if b.names[strings.ToLower(path)] {
		return nil, fmt.Errorf("%w: two files %s, perhaps alike but for case", ErrSource, path)
	}
	b.names[strings.ToLower(path)] = true
	if len(b.names) > maxFiles {
		return nil, fmt.Errorf("%w: more than %d files", ErrSource, maxFiles)
	}
	h := &zip.FileHeader{Name: string(b.src.Reference) + "/" + path, Method: method, Modified: b.src.Created.UTC()}
	h.SetMode(0o644)
	w, err := b.zip.CreateHeader(h)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	b.sum.Reset()
	return &memberWriter{Writer: io.MultiWriter(b.sum, w)}, nil
}

func (b *writer) finish(path string, w *memberWriter) digest.SHA256 {
	sum := digest.SHA256(b.sum.Sum(nil))
	b.rows = append(b.rows, row{path, sum})
	if !isTag(path) {
		b.size += w.n
	}
	return sum
}

func (b *writer) add(path string, content []byte) error { return b.write(path, zip.Deflate, content) }

// store writes one of the many small files, or one that is made of hashes: deflating would
// save a seventh of a bundle, and make both writing and reading several times slower.
func (b *writer) store(path string, content []byte) error { return b.write(path, zip.Store, content) }

func (b *writer) write(path string, method uint16, content []byte) error {
	w, err := b.create(path, method)
	if err != nil {
		return err
	}
	if _, err := w.Write(content); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	b.finish(path, w)
	return nil
}
