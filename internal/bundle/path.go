package bundle

import (
	"slices"
	"strconv"
	"strings"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// The files of which there is one.
const (
	BagItFile          = "bagit.txt"
	BagInfoFile        = "bag-info.txt"
	ManifestFile       = "manifest-sha256.txt"
	TagManifestFile    = "tagmanifest-sha256.txt"
	ReadmeFile         = "data/README.txt"
	VerifierFile       = "data/verify.py"
	CheckpointFile     = "data/checkpoint"
	CheckpointBodyFile = "data/checkpoint.body"
	CheckpointSigFile  = "data/checkpoint.sig"
	KeyFile            = "data/ledger.vkey"
	KeyPEMFile         = "data/ledger.pem"
	SignersFile        = "data/allowed_signers"
	EntriesFile        = "data/entries.jsonl"
)

// singles are those files, but for VerifierFile. Every bundle has all of them.
var singles = []string{
	BagItFile, BagInfoFile, ManifestFile, TagManifestFile, ReadmeFile, CheckpointFile, CheckpointBodyFile,
	CheckpointSigFile, KeyFile, KeyPEMFile, SignersFile, EntriesFile,
}

// Kind says what a file of a bundle holds. For a file of which there is one it is
// the file's path.
type Kind string

// The kinds of files of which there are many.
const (
	KindPayload   Kind = "payload"
	KindSignature Kind = "signature"
	KindProof     Kind = "proof"
	KindMidstates      = Kind(evidence.Midstates)
	KindLog            = Kind(evidence.ToolLog)
	KindFiles          = Kind(evidence.Files)
	KindContent        = Kind(evidence.Content)

	KindAnchored     Kind = "anchored"     // a checkpoint of the ledger that was time-stamped
	KindConsistency  Kind = "consistency"  // the proof that leads from it to the bundle's
	KindStamp        Kind = "stamp"        // RFC 3161 response over it
	KindCertificates Kind = "certificates" // behind the time stamp, in PEM
	KindRevoked      Kind = "revoked"      // revocation lists of their issuers, in PEM
)

// limits are the greatest sizes in bytes. What is read whole is small.
var limits = map[Kind]int64{
	BagItFile:          1 << 10,
	BagInfoFile:        64 << 10,
	ManifestFile:       256 << 20, // a row of 256 bytes for each of maxFiles
	TagManifestFile:    64 << 10,
	ReadmeFile:         256 << 10,
	VerifierFile:       256 << 10,
	CheckpointFile:     64 << 10,
	CheckpointBodyFile: 1 << 10,
	CheckpointSigFile:  64,
	KeyFile:            1 << 10,
	KeyPEMFile:         1 << 10,
	SignersFile:        64 << 20,
	EntriesFile:        1 << 30,
	KindPayload:        evidence.MaxPayload,
	KindSignature:      identity.MaxSignature,
	KindProof:          128 << 10, // the checkpoint stands in it
	KindMidstates:      evidence.MaxContent / (16 << 20) * 32,
	KindLog:            evidence.MaxLog,
	KindFiles:          1 << 30,
	KindContent:        evidence.MaxContent,
	KindAnchored:       64 << 10,
	KindConsistency:    8 << 10, // 64 hashes and more
	KindStamp:          timestamp.MaxResponse,
	KindCertificates:   2 << 20,
	KindRevoked:        16 << 20,
}

// File is one file of a bundle.
type File struct {
	Path      string // within the bag, with slashes
	Kind      Kind
	Seq       int64           // of payloads, signatures and proofs; of anchors the size of the checkpoint
	Authority string          // of what belongs to a time stamp
	Exhibit   evidence.Name   // of what belongs to a copy
	Number    evidence.Number // likewise
	Size      int64           // bytes
}

type family struct {
	kind          Kind
	before, after string
}

// families are the kinds of files of which there are many, with what stands before
// and after the part that differs.
var families = []family{
	{KindPayload, "data/payloads/", ".json"},
	{KindSignature, "data/payloads/", ".json.sig"},
	{KindProof, "data/proofs/", ".tlog-proof"},
	{KindMidstates, "data/midstates/", ".midstates"},
	{KindLog, "data/logs/", ".log"},
	{KindFiles, "data/files/", ".jsonl"},
	{KindContent, "data/content/", ".bin"},
	{KindAnchored, "data/anchors/", ".checkpoint"},
	{KindConsistency, "data/anchors/", ".consistency"},
	{KindStamp, "data/anchors/", ".tsr"},
	{KindCertificates, "data/anchors/", ".pem"},
	{KindRevoked, "data/anchors/", ".crl.pem"},
}

// EntryPath gives the path of an entry's payload, signature or proof.
func EntryPath(k Kind, seq int64) string { return join(k, strconv.FormatInt(seq, 10)) }

// AnchorPath gives the path of an anchored checkpoint, its proof, or what belongs to the
// time stamp of an authority over it.
func AnchorPath(k Kind, size int64, authority string) string {
	name := strconv.FormatInt(size, 10)
	if authority != "" {
		name += "-" + authority
	}
	return join(k, name)
}

// CopyPath gives the path of what a bundle holds of a copy for one of its objects.
func CopyPath(role evidence.Role, exhibit evidence.Name, n evidence.Number) string {
	return join(Kind(role), string(exhibit)+"-"+string(n))
}

func join(k Kind, name string) string {
	for _, f := range families {
		if f.kind == k {
			return f.before + name + f.after
		}
	}
	return ""
}

// parsePath tells which file a path names; none, when it could not stand in a bundle.
func parsePath(path string) (File, bool) {
	if slices.Contains(singles, path) || path == VerifierFile {
		return File{Path: path, Kind: Kind(path)}, true
	}
	for _, family := range families {
		name, ok := strings.CutPrefix(path, family.before)
		if !ok {
			continue
		}
		if name, ok = strings.CutSuffix(name, family.after); !ok {
			continue
		}
		f := File{Path: path, Kind: family.kind}
		switch f.Kind {
		case KindStamp, KindCertificates, KindRevoked:
			size, authority, _ := strings.Cut(name, "-")
			n, ok := number(size)
			if !ok || n == 0 || evidence.CheckAuthority(authority) != nil {
				continue
			}
			f.Seq, f.Authority = n, authority
		case KindAnchored, KindConsistency:
			n, ok := number(name)
			if !ok || n == 0 {
				continue
			}
			f.Seq = n
		case KindPayload, KindSignature, KindProof:
			n, ok := number(name)
			if !ok {
				continue
			}
			f.Seq = n
		default:
			i := strings.LastIndexByte(name, '-')
			if i < 0 {
				continue
			}
			exhibit, errLabel := evidence.ParseName(name[:i])
			copied, errNumber := evidence.ParseNumber(name[i+1:])
			if errLabel != nil || errNumber != nil {
				continue
			}
			f.Exhibit, f.Number = exhibit, copied
		}
		return f, true
	}
	return File{}, false
}

// number reads a number in its one spelling.
func number(text string) (int64, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil && n >= 0 && strconv.FormatInt(n, 10) == text
}

// isTag reports whether the path is outside the payload directory of the bag.
func isTag(path string) bool { return !strings.HasPrefix(path, "data/") }
