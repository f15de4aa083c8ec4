package custody

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/witness"
)

// Questions a caller may ask of an error, beside those of package evidence.
var (
	// ErrUnauthenticated: no, an unknown or an expired session, or a sign-in that proves nothing.
	ErrUnauthenticated = errors.New("not signed in")
	// ErrSignature: the signature over a payload does not verify with the actor's key.
	ErrSignature = errors.New("signature does not verify")
	// ErrBusy: somebody else is at it; a retry makes sense.
	ErrBusy = errors.New("busy")
	// ErrUnavailable: the store or the ledger cannot be reached now; a retry makes sense.
	ErrUnavailable = errors.New("unavailable")
	// ErrStopped: the ledger's state is not known, nothing more is written until a restart.
	ErrStopped = errors.New("the ledger has stopped")
	// ErrRollback: the database holds less than what was signed before, or something else.
	ErrRollback = errors.New("the database is not a continuation of what was signed")
	// ErrOtherStore: the store is not the one that the ledger's copies lie in.
	ErrOtherStore = errors.New("this is another store than the ledger's")
)

// Objects keeps evidence bytes: package objectstore's S3 and Directory. When a
// method that writes returns nil the bytes are durable and can no longer change.
type Objects interface {
	Describe() objectstore.Description
	Put(ctx context.Context, key string, r io.Reader, size int64, until time.Time) (objectstore.Object, error)
	Begin(ctx context.Context, key string, size int64, until time.Time) (objectstore.Upload, error)
	OpenUpload(ctx context.Context, u objectstore.Upload) (*objectstore.Content, error) // errors.ErrUnsupported where parts cannot be read
	WritePart(ctx context.Context, u objectstore.Upload, number int, r io.Reader, size int64) (objectstore.Part, error)
	Complete(ctx context.Context, u objectstore.Upload, parts []objectstore.Part) (objectstore.Object, error)
	Abort(ctx context.Context, u objectstore.Upload) error
	Stat(ctx context.Context, key, version string) (objectstore.Object, error)
	Open(ctx context.Context, o objectstore.Object, fromMedium bool) (*objectstore.Content, error)
	Copy(ctx context.Context, src objectstore.Object, key string, until time.Time) (objectstore.Object, error)
	Extend(ctx context.Context, o objectstore.Object, until time.Time) (objectstore.Object, error) // never shortens; makes durable and locked what was interrupted
	Uploads(ctx context.Context, prefix string) iter.Seq2[objectstore.Upload, error]               // begun, neither completed nor aborted; some stores want a whole key
	List(ctx context.Context, prefix string) iter.Seq2[objectstore.Object, error]
}

// CheckpointSigner signs the checkpoints of one ledger, each proven to continue the one
// before: ledger.Signer in this process, or one that runs as another user.
type CheckpointSigner interface {
	Key() ledger.VerifierKey
	Last() ledger.Checkpoint // the newest one that may have been signed
	Sign(next ledger.Checkpoint, proof []ledger.Hash) ([]byte, error)
}

// Config is what a service works with. Everything is required unless said.
type Config struct {
	Database *database.DB
	Objects  Objects
	Ledger   CheckpointSigner // signs checkpoints
	Key      identity.Signer  // signs the service's own entries
	Version  string           // of the program, for entries
	Now      func() time.Time
	Random   io.Reader
	Logger   *slog.Logger
	// Administrator is enrolled when the ledger is empty; otherwise ignored.
	Administrator *evidence.PersonEnrolled
	RetainDays    int // suggested to whoever opens a case
	// Days for which the segments of the ledger are locked in the store, from when they
	// are put, and their payloads, which no fewer can be; zero: ten years.
	LedgerRetainDays, PayloadRetainDays int
	// PublishWithin is how long an entry waits for others to be put into the store with
	// it; an export's seal, a full segment and Close do not wait. Zero: DefaultPublishWithin.
	PublishWithin time.Duration
	// MaxUnpublished is how many entries may not be in the store yet; no more are taken
	// then. At least MinUnpublished; zero: 10,000.
	MaxUnpublished int64
	// Witnesses cosign the newest checkpoint, asked at most once in WitnessEvery (zero:
	// DefaultWitnessEvery) and at every export.
	Witnesses    []witness.Endpoint
	WitnessEvery time.Duration
	// Authorities are asked for time stamps, AnchorEvery while there is activity (zero:
	// DefaultAnchorEvery) and at every export, which waits for an answer ExportWait; zero or
	// less: it does not wait, and goes with what is there.
	Authorities []*authority.Authority
	AnchorEvery time.Duration
	ExportWait  time.Duration
	Session     time.Duration // how long a sign-in holds
	Workers     int           // cores for hashing
	// AuditRate is how many entries a second the service reads again, to judge the whole
	// ledger while it runs; zero: it does not.
	AuditRate int
}

// Service is the custody service over one ledger.
type Service struct {
	cfg     Config
	db      *database.DB
	objects Objects
	origin  ledger.Origin
	log     *slog.Logger
	started time.Time

	appends    chan *draft
	challenges challenges
	uploads    sync.Map // uuid.UUID -> *writer: who is writing to an intake now
	newest     newest
	cosigners  cosigners
	publisher  publisher
	anchors    anchors
	alarmed    atomic.Pointer[error]
	end        end // the committer's
	auditor    auditor
	alarming   chan struct{} // closed at the alarm
	intakes    watch
	trails     trails
	checks     checks
	counters   counters
	scrubs     scrubs

	checking, reading, copying permits

	ctx    context.Context // ends with the service: background work, not requests
	cancel context.CancelFunc
	// What is done after that ends with draining, at the latest.
	draining context.Context
	abandon  context.CancelFunc
	group    *errgroup.Group
	closing  sync.Mutex // nothing joins the group once closed is set
	closed   bool
	leaving  chan struct{} // closed when the service is about to end
	leave    sync.Once
	ended    chan struct{} // closed when the committer has ended
	stopped  chan struct{}
	stop     sync.Once
	cause    error // why stopped; written before stopped is closed
}

// beginGrace is how long a service that could not begin waits for a store that does not
// answer, to put what it has signed.
const beginGrace = 10 * time.Second

// Open takes up the ledger in the database: it checks it against the signer's
// own last checkpoint, signs what a crash left unsigned, enrols the service and
// the first administrator when the ledger is empty, notes the start, and resumes
// what was under way. Close must be called.
func Open(ctx context.Context, cfg Config) (*Service, error) {
	cfg, err := cfg.publishing()
	if err != nil {
		return nil, err
	}
	cfg.AnchorEvery = cmp.Or(cfg.AnchorEvery, DefaultAnchorEvery)
	cfg.WitnessEvery = cmp.Or(cfg.WitnessEvery, DefaultWitnessEvery)
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &Service{
		cfg: cfg, db: cfg.Database, objects: cfg.Objects, origin: cfg.Ledger.Key().Origin(), log: cfg.Logger,
		started: cfg.Now(), appends: make(chan *draft, maxBatch), ctx: own, cancel: cancel,
		checking: make(permits, concurrentChecks), reading: make(permits, concurrentReads), copying: make(permits, concurrentCopies),
		alarming: make(chan struct{}),
		leaving:  make(chan struct{}), ended: make(chan struct{}), stopped: make(chan struct{}),
	}
	s.draining, s.abandon = context.WithCancel(context.WithoutCancel(ctx))
	s.newest.init()
	s.publisher.head.init()
	s.cosigners.init(cfg)
	s.anchors.init()
	s.intakes.init()
	s.checks.init()
	s.scrubs.init()
	if err := errors.Join(s.challenges.init(cfg.Random), s.takeUp(ctx)); err != nil {
		cancel()
		s.abandon()
		return nil, err
	}
	s.group, s.ctx = errgroup.WithContext(own)
	s.background(s.commitLoop)
	s.background(s.publishLoop)
	s.background(s.witnessLoop)
	if err := s.begin(ctx); err != nil {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), beginGrace)
		defer cancel()
		return nil, errors.Join(err, s.Close(last))
	}
	return s, nil
}

// begin writes the first entries of a new ledger and the note of this start,
// and resumes the work that a restart interrupted.
func (s *Service) begin(ctx context.Context) error {
	var people []evidence.Person
	err := s.db.View(ctx, func(tx *database.Tx) (err error) {
		people, err = tx.People()
		return err
	})
	if err != nil {
		return err
	}
	if len(people) == 0 {
		if s.cfg.Administrator == nil {
			return errors.New("the ledger is empty and there is no administrator to enrol")
		}
		self := evidence.PersonEnrolled{
			Principal: identity.Service, Name: "custodyd, the service", Roles: identity.Roles{identity.RoleService}, Key: s.cfg.Key.PublicKey(),
		}
		if _, err := s.note(ctx, evidence.CaseID{}, nil, just(self)); err != nil {
			return fmt.Errorf("enrol the service: %w", err)
		}
		people = append(people, evidence.Person{Principal: identity.Service, Key: self.Key})
	}
	if people[0].Principal != identity.Service || people[0].Key != s.cfg.Key.PublicKey() {
		return fmt.Errorf("the service's key %s is not the one enrolled in the ledger", s.cfg.Key.PublicKey().Fingerprint())
	}
	if len(people) == 1 {
		if s.cfg.Administrator == nil {
			return errors.New("the ledger has no administrator and there is none to enrol")
		}
		if _, err := s.note(ctx, evidence.CaseID{}, nil, just(*s.cfg.Administrator)); err != nil {
			return fmt.Errorf("enrol the first administrator: %w", err)
		}
	}
	store := s.objects.Describe()
	_, err = s.note(ctx, evidence.CaseID{}, nil, just(evidence.ServiceStarted{
		Version: s.cfg.Version, Store: store.Kind, Bucket: store.Bucket, Lock: string(store.Lock), Missing: store.Missing,
	}))
	if err != nil {
		return fmt.Errorf("note the start: %w", err)
	}
	s.background(s.scrubLoop)
	s.startAnchors()
	s.background(s.auditLoop)
	return s.resumeIntakes(ctx)
}

// Leave has whoever waits for something to happen be answered now: the service is
// about to end. Everything else goes on until Close.
func (s *Service) Leave() { s.leave.Do(func() { close(s.leaving) }) }

// Close stops taking work, waits for what is under way to reach a durable
// point, and ends: what was signed is in the store then, if it can be. When ctx is
// done first, something may still be at it, for not much longer. The
// database, store and signer stay open: they are the caller's.
func (s *Service) Close(ctx context.Context) error {
	s.closing.Lock()
	s.closed = true
	s.closing.Unlock()
	s.Leave()
	s.cancel()
	defer s.abandon()
	done := make(chan error, 1)
	go func() {
		err := s.group.Wait()
		s.uploads.Range(func(_, w any) bool {
			<-w.(*writer).done
			return true
		})
		s.closeTrails()
		done <- err
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return fmt.Errorf("close: %w", ctx.Err())
	}
}

// background does work that Close waits for; false, when it is too late for that.
func (s *Service) background(work func()) bool {
	s.closing.Lock()
	defer s.closing.Unlock()
	if s.closed {
		return false
	}
	s.group.Go(func() error { work(); return nil })
	return true
}

// gone is the answer when the committer takes nothing any more.
func (s *Service) gone() error {
	if err := s.Cause(); err != nil {
		return err
	}
	return fmt.Errorf("%w: shutting down", ErrUnavailable)
}

// Stopped is closed when the service can no longer write; Cause tells why.
func (s *Service) Stopped() <-chan struct{} { return s.stopped }

// Cause tells why the service stopped; nil while it has not.
func (s *Service) Cause() error {
	select {
	case <-s.stopped:
		return s.cause
	default:
		return nil
	}
}

func (s *Service) halt(cause error) {
	s.stop.Do(func() {
		s.cause = fmt.Errorf("%w: %w", ErrStopped, cause)
		s.log.Error("the ledger has stopped", "cause", cause)
		close(s.stopped)
	})
}

// Ready tells whether the service can take work now.
func (s *Service) Ready(ctx context.Context) error {
	if err := cmp.Or(s.Cause(), s.Alarm()); err != nil {
		return err
	}
	if err := s.db.View(ctx, func(tx *database.Tx) error { _, err := tx.Head(); return err }); err != nil {
		return fmt.Errorf("%w: ledger: %w", ErrUnavailable, err)
	}
	return s.answers(ctx)
}

// About is what anybody may know of the service.
type About struct {
	Origin      ledger.Origin
	VerifierKey ledger.VerifierKey
	Version     string
	Store       objectstore.Description
	Witnesses   []WitnessState
	RetainDays  int
	Started     time.Time
}

// About tells what the service is.
func (s *Service) About() About {
	return About{
		Origin: s.origin, VerifierKey: s.cfg.Ledger.Key(), Version: s.cfg.Version,
		Store: s.objects.Describe(), Witnesses: s.cosigners.states(), RetainDays: s.cfg.RetainDays, Started: s.started,
	}
}

// newID draws a version 7 UUID.
func (s *Service) newID() (uuid.UUID, error) {
	id, err := uuid.NewV7FromReader(s.cfg.Random)
	if err != nil {
		return uuid.UUID{}, fmt.Errorf("draw an id: %w", err)
	}
	return id, nil
}
