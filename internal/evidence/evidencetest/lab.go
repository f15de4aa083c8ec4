// Package evidencetest plays a lab for tests of the law of custody and of what
// keeps its state: people who do what the law allows, and much that it forbids.
// Nothing in it is random by itself; a test passes the choices in.
package evidencetest

import (
	"crypto/ed25519"
	"crypto/md5" //nolint:gosec // a digest that examiners' tools still declare
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
)

// Origin is the name of the lab's ledger.
const Origin = "lab.example/custody"

// Staff are the people of the lab in the order of their enrolment, which are the
// first events of its ledger.
var Staff = []evidence.PersonEnrolled{
	member(identity.Service, identity.RoleService),
	member("admin", identity.RoleAdministrator),
	member("examiner1", identity.RoleExaminer),
	member("examiner2", identity.RoleAdministrator, identity.RoleCustodian, identity.RoleExaminer),
	member("custodian1", identity.RoleCustodian),
	member("analyst1", identity.RoleAnalyst, identity.RoleLegal),
	member("analyst2", identity.RoleAnalyst),
	member("legal1", identity.RoleLegal),
	member("screener1", identity.RoleScreener),
	member("examiner3", identity.RoleExaminer),
	member("analyst3", identity.RoleAnalyst),
}

func member(p identity.Principal, roles ...identity.Role) evidence.PersonEnrolled {
	return evidence.PersonEnrolled{Principal: p, Name: "Name of " + string(p), Roles: roles, Key: Key(string(p))}
}

// Key gives a public key for each seed.
func Key(seed string) identity.PublicKey {
	private := sha256.Sum256([]byte(seed))
	point, _ := ed25519.NewKeyFromSeed(private[:]).Public().(ed25519.PublicKey)
	var wire []byte
	for _, field := range [][]byte{[]byte("ssh-ed25519"), point} {
		wire = binary.BigEndian.AppendUint32(wire, uint32(len(field))) //nolint:gosec // 11 and 32
		wire = append(wire, field...)
	}
	key, _, err := identity.ParsePublicKey("ssh-ed25519 " + base64.StdEncoding.EncodeToString(wire))
	if err != nil {
		panic(err)
	}
	return key
}

// Digests gives the MD5 and SHA-256 of a text, which stands for some content.
func Digests(content string) digest.Set {
	sum := md5.Sum([]byte(content)) //nolint:gosec // see above
	set, err := digest.Set{}.With(digest.AlgMD5, hex.EncodeToString(sum[:]))
	if err != nil {
		panic(err)
	}
	return WithSHA256(set, content)
}

// WithSHA256 adds the SHA-256 of a text to the set.
func WithSHA256(set digest.Set, content string) digest.Set {
	sum := sha256.Sum256([]byte(content))
	set, err := set.With(digest.AlgSHA256, hex.EncodeToString(sum[:]))
	if err != nil {
		panic(err)
	}
	return set
}

// Lab is a ledger's state and what its people know of it.
type Lab struct {
	*evidence.Memory
	Chains    map[evidence.CaseID][]digest.SHA256 // leaf hashes of the recorded entries
	Past      []Entry                             // all that was recorded
	Cases     []evidence.CaseID                   // in the order in which they were opened
	Declared  []uuid.UUID                         // intakes in the order in which they were declared
	Deposited []evidence.CopyID                   // copies in the order in which they were

	clock time.Time
	drawn uint64
}

// Entry is what was recorded, whose number is its place among all.
type Entry struct {
	evidence.Event
	Leaf digest.SHA256
	At   evidence.Position
}

// New gives an empty lab. Its clock moves by a second with each event.
func New() *Lab {
	return &Lab{
		Memory: evidence.NewMemory(), Chains: map[evidence.CaseID][]digest.SHA256{},
		clock: time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC),
	}
}

// hash gives another value each time.
func (l *Lab) hash() [32]byte {
	l.drawn++
	return sha256.Sum256(binary.BigEndian.AppendUint64([]byte("drawn"), l.drawn))
}

// ID gives a new version 7 UUID, later than those before it.
func (l *Lab) ID() uuid.UUID {
	h := l.hash()
	id := uuid.UUID(h[:16])
	binary.BigEndian.PutUint64(id[:], l.drawn<<16)
	id[6], id[8] = 0x70, id[8]&0x3f|0x80
	return id
}

// CaseID gives a new case id.
func (l *Lab) CaseID() evidence.CaseID {
	h := l.hash()
	return evidence.CaseID(h[:16])
}

// Newest gives the leaf hash of a chain's newest entry, zero when there is none.
func (l *Lab) Newest(c evidence.CaseID) digest.SHA256 {
	chain := l.Chains[c]
	if len(chain) == 0 {
		return digest.SHA256{}
	}
	return chain[len(chain)-1]
}

// Event gives an event whose actor has seen everything.
func (l *Lab) Event(actor identity.Principal, c evidence.CaseID, body evidence.Body) evidence.Event {
	return evidence.Event{
		Actor: actor, At: l.at().Time, Body: body, Case: c, ID: l.ID(), Log: Origin, Salt: l.hash(),
		Seen: l.Newest(c), Tool: "evidencetest 1",
	}
}

func (l *Lab) at() evidence.Position { return evidence.Position{Time: evidence.TimeOf(l.clock)} }

// Position gives the place at which the event would stand.
func (l *Lab) Position(e evidence.Event) evidence.Position {
	p := l.at()
	p.CaseSeq = int64(len(l.Chains[e.Case]))
	return p
}

// Record puts an event, whose changes Apply gave, at the end of the lab's ledger.
func (l *Lab) Record(e evidence.Event, leaf digest.SHA256, ch evidence.Changes) {
	l.Past = append(l.Past, Entry{e, leaf, l.Position(e)})
	l.Memory.Record(e.Case, leaf, int64(len(l.Chains[e.Case])))
	l.Chains[e.Case] = append(l.Chains[e.Case], leaf)
	for _, c := range ch.Cases {
		if _, err := l.Case(c.ID); err != nil {
			l.Cases = append(l.Cases, c.ID)
		}
	}
	for _, i := range ch.Intakes {
		if _, err := l.Intake(i.Intake); err != nil {
			l.Declared = append(l.Declared, i.Intake)
		}
	}
	for _, c := range ch.Copies {
		if _, err := l.Copy(c.CopyID); err != nil {
			l.Deposited = append(l.Deposited, c.CopyID)
		}
	}
	l.Save(ch)
	l.clock = l.clock.Add(time.Second)
}

// Do applies and records an event. The leaf hash is a stand-in.
func (l *Lab) Do(e evidence.Event) error {
	ch, err := evidence.Apply(l, e, l.Position(e))
	if err != nil {
		return err
	}
	l.Record(e, l.hash(), ch)
	return nil
}

// Found enrols the staff.
func (l *Lab) Found() error {
	for i, p := range Staff {
		actor := identity.Service
		if i > 1 {
			actor = "admin"
		}
		if err := l.Do(l.Event(actor, evidence.CaseID{}, p)); err != nil {
			return fmt.Errorf("enrol %s: %w", p.Principal, err)
		}
	}
	return nil
}

// Facts gives what the server would say of an intake whose bytes came as found:
// "" for unharmed.
func (l *Lab) Facts(id uuid.UUID, found string) evidence.Facts {
	i, err := l.Intake(id)
	if err != nil {
		return evidence.Facts{}
	}
	b := evidence.Facts{Intake: id, Exhibit: i.Exhibit, Size: i.Size, ReadSource: "medium"}
	x, _ := l.Exhibit(i.Case, i.Exhibit)
	b.Number = evidence.NumberOf(i.Class, x.Numbers[i.Class]+1)
	if i.Class == evidence.Master {
		content := id.String()
		if b.Declared = i.Declared; i.Declared.IsZero() {
			b.Declared = WithSHA256(digest.Set{}, content) // as the client computed
		}
		b.Received, b.ReadBack = Digests(content), Digests(content)
	} else {
		master, _ := l.Copy(evidence.CopyID{Case: i.Case, Exhibit: i.Exhibit, Number: i.Of})
		b.Declared, b.ReadBack = master.Digests, master.Digests
	}
	if found != "" {
		b.ReadBack = Digests(found)
	}
	content, _ := b.ReadBack.SHA256()
	c, _ := l.Case(i.Case)
	until := evidence.TimeOf(i.DeclaredAt.Time().AddDate(0, 0, c.RetainDays))
	object := func(role evidence.Role, size int64, sum digest.SHA256) {
		b.Objects = append(b.Objects, evidence.Object{
			Role: role, Bucket: "vault", Key: id.String() + "." + string(role), Version: "1", Size: size, SHA256: sum,
			Lock: "directory", RetainUntil: &until,
		})
	}
	object(evidence.Content, i.Size, content)
	if n := digest.MidstateCount(i.Size); n > 0 {
		object(evidence.Midstates, 32*n, sha256.Sum256([]byte("midstates")))
	}
	if i.Files > 0 {
		object(evidence.Files, 1000, sha256.Sum256([]byte("files")))
	}
	if i.Acquisition != nil && i.Acquisition.Log != nil {
		object(evidence.ToolLog, i.Acquisition.Log.Size, i.Acquisition.Log.SHA256)
	}
	return b
}

// Erase gives the erasure of what was recorded with that number, of a case.
func (l *Lab) Erase(n int) (evidence.PayloadErased, error) {
	left, err := evidence.Residue(l.Past[n].Event)
	if err != nil {
		return evidence.PayloadErased{}, err
	}
	residue, err := left.Encode()
	return evidence.PayloadErased{
		Entry: int64(n), Leaf: l.Past[n].Leaf, Authority: "court", Reason: "ordered", Residue: residue,
	}, err
}

// Clone gives a lab that goes its own way from here.
func (l *Lab) Clone() *Lab {
	c := New()
	c.Save(l.All())
	for id, chain := range l.Chains {
		c.Chains[id] = slices.Clone(chain)
		for n, leaf := range chain {
			c.Memory.Record(id, leaf, int64(n))
		}
	}
	c.Cases, c.Declared, c.Deposited, c.Past = slices.Clone(l.Cases), slices.Clone(l.Declared), slices.Clone(l.Deposited), slices.Clone(l.Past)
	c.clock, c.drawn = l.clock, l.drawn
	return c
}
