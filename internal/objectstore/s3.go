package objectstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Secret is a string that no formatting verb, log or encoder gives away.
type Secret string

const redacted = "[redacted]"

func (Secret) String() string               { return redacted }
func (Secret) GoString() string             { return redacted }
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// Config says where an S3 store is and what is asked of it.
type Config struct {
	Endpoint  string // host:port
	Bucket    string // for evidence and nothing else, with object lock
	Region    string // us-east-1 when empty
	AccessKey string
	SecretKey Secret
	TLS       bool
	CAFile    string // PEM, beside the system's authorities
	// Mode is LockCompliance, also when empty, or LockGovernance.
	Mode LockMode
	// AllowUnlocked takes a store that lacks what evidence needs; Describe says
	// what, and so does each object.
	AllowUnlocked bool
}

// Validate joins every fault of c.
func (c Config) Validate() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if c.Endpoint == "" || strings.ContainsAny(c.Endpoint, "/ @") {
		fault("s3 endpoint %q is not host:port", c.Endpoint)
	}
	if err := s3utils.CheckValidBucketNameStrict(c.Bucket); err != nil {
		fault("s3 bucket %q: %w", c.Bucket, err)
	}
	if c.AccessKey == "" || c.SecretKey == "" {
		fault("s3 access key or secret key is missing")
	}
	if c.Mode != "" && c.Mode != LockCompliance && c.Mode != LockGovernance {
		fault("s3 lock mode %q is neither %s nor %s", c.Mode, LockCompliance, LockGovernance)
	}
	if c.CAFile != "" && !c.TLS {
		fault("s3 authority file %s without TLS", c.CAFile)
	}
	return errors.Join(faults...)
}

// S3 is a bucket of an S3 service with versioning and object lock.
//
// Every write carries retention, "If-None-Match: *" and a checksum that the
// service verifies before it says yes; the version is then looked up by its id
// and compared. Parts are streamed: a part that fails is not sent again from
// here, whoever holds the bytes does that. The random mark of an upload is kept
// in the object's metadata (custody-mark), so that an upload whose completion
// was answered into a broken connection is recognised later.
type S3 struct {
	core      *minio.Core
	transport *datedTransport
	endpoint  string
	bucket    string
	unsigned  bool // the connection needs no signature over the content
	mode      LockMode
	sum       checksum // of writes
	// found is what the probe at opening saw; lock and conditional follow from it.
	found       Report
	lock        LockMode // of writes: mode or LockNone
	conditional bool     // If-None-Match is honoured by every write
	copyStep    int64    // bytes a request of Copy has copied
}

// OpenS3 connects to the bucket, probes it, and refuses it with an
// [*UnlockedError] when it lacks what evidence needs. A bucket that does not
// exist is ErrNoBucket.
func OpenS3(ctx context.Context, c Config) (*S3, error) {
	s, err := connect(c)
	if err == nil {
		err = s.open(ctx, c.AllowUnlocked)
		if err != nil {
			s.transport.CloseIdleConnections()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("open s3 bucket %s at %s: %w", c.Bucket, c.Endpoint, err)
	}
	return s, nil
}

// ConnectS3 connects to the bucket without the probe, for looking at it only: its
// caller writes nothing. A bucket that does not exist is ErrNoBucket.
func ConnectS3(ctx context.Context, c Config) (*S3, error) {
	s, err := connect(c)
	if err == nil {
		if err = s.there(ctx); err != nil {
			s.transport.CloseIdleConnections()
		}
	}
	if err != nil {
		return nil, fmt.Errorf("connect to s3 bucket %s at %s: %w", c.Bucket, c.Endpoint, err)
	}
	return s, nil
}

func (s *S3) there(ctx context.Context) error {
	there, err := s.core.BucketExists(ctx, s.bucket)
	if err == nil && !there {
		err = ErrNoBucket
	}
	return err
}

func (s *S3) open(ctx context.Context, allowUnlocked bool) error {
	if err := s.there(ctx); err != nil {
		return err
	}
	p := s.newProbe()
	if err := p.run(ctx, false); err != nil {
		return err
	}
	s.sum, s.lock, s.conditional = p.sum, p.lock, p.conditional
	s.found = p.report
	s.found.Store = s.Describe()
	if missing := p.report.Missing(Required); len(missing) > 0 && !allowUnlocked {
		return &UnlockedError{Missing: missing}
	}
	return nil
}

// CreateBucket makes the bucket of a new store, with object lock.
func CreateBucket(ctx context.Context, c Config) error {
	s, err := connect(c)
	if err == nil {
		defer s.transport.CloseIdleConnections()
		err = s.core.MakeBucket(ctx, c.Bucket, minio.MakeBucketOptions{Region: c.region(), ObjectLocking: true})
	}
	if err != nil {
		return fmt.Errorf("create s3 bucket %s at %s: %w", c.Bucket, c.Endpoint, s3Error(err))
	}
	return nil
}

func (c Config) region() string {
	if c.Region == "" {
		return "us-east-1"
	}
	return c.Region
}

func connect(c Config) (*S3, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	transport, err := newTransport(c)
	if err != nil {
		return nil, err
	}
	core, err := minio.NewCore(c.Endpoint, &minio.Options{
		Creds:     credentials.NewStaticV4(c.AccessKey, string(c.SecretKey), ""),
		Secure:    c.TLS,
		Region:    c.region(),
		Transport: transport,
		// The checksum of each request is our own choice.
		TrailingHeaders: false,
		// Of requests without content. Those with content are never repeated:
		// a trailing checksum is wrong the second time.
		MaxRetries: 3,
	})
	if err != nil {
		return nil, err
	}
	mode := c.Mode
	if mode == "" {
		mode = LockCompliance
	}
	return &S3{
		core: core, transport: transport, endpoint: c.Endpoint, bucket: c.Bucket,
		unsigned: c.TLS || loopback(c.Endpoint), mode: mode, lock: mode, conditional: true, copyStep: copyStep,
	}, nil
}

// loopback: nobody is between us and the endpoint.
func loopback(endpoint string) bool {
	host, _, err := net.SplitHostPort(endpoint)
	if err != nil {
		host = endpoint
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Close drops idle connections.
func (s *S3) Close() error {
	s.transport.CloseIdleConnections()
	return nil
}

// Describe says what the store is, as found when it was opened.
func (s *S3) Describe() Description {
	missing := append(s.found.Missing(Required), s.found.Missing(Advised)...)
	return Description{Kind: "s3", Bucket: s.bucket, Endpoint: s.endpoint, Lock: s.lock, Missing: missing}
}

// How long a service may think about a request that was sent to its end. Some
// copy the whole object when an upload is completed, and answer afterwards.
const (
	answerTimeout     = time.Minute
	completionTimeout = 30 * time.Minute
)

// datedTransport waits longer for the answers that take longer, and remembers how
// far the clock of the service is from ours.
type datedTransport struct {
	quick, slow *http.Transport
	skew        atomic.Int64 // nanoseconds the service is ahead
}

func newTransport(c Config) (*datedTransport, error) {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: answerTimeout,
		ExpectContinueTimeout: 10 * time.Second,
		IdleConnTimeout:       time.Minute,
		MaxIdleConns:          64,
		MaxIdleConnsPerHost:   64,
		WriteBufferSize:       64 << 10,
		ReadBufferSize:        64 << 10,
		DisableCompression:    true, // content is bytes, whatever its encoding
	}
	if c.TLS {
		t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12}
		if c.CAFile != "" {
			pem, err := os.ReadFile(c.CAFile)
			if err != nil {
				return nil, err
			}
			pool, err := x509.SystemCertPool()
			if err != nil {
				return nil, err
			}
			if !pool.AppendCertsFromPEM(pem) {
				return nil, fmt.Errorf("no certificate in %s", c.CAFile)
			}
			t.TLSClientConfig.RootCAs = pool
		}
	}
	slow := t.Clone()
	slow.ResponseHeaderTimeout = completionTimeout
	return &datedTransport{quick: t, slow: slow}, nil
}

func (t *datedTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	through := t.quick
	if r.Method == http.MethodPost || r.Header.Get(copySourceHeader) != "" {
		through = t.slow
	}
	answer, err := through.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if date, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
		t.skew.Store(int64(time.Until(date)))
	}
	return answer, nil
}

// CloseIdleConnections is what http.Client looks for.
func (t *datedTransport) CloseIdleConnections() {
	t.quick.CloseIdleConnections()
	t.slow.CloseIdleConnections()
}

// now is the time by the clock of the service, which decides when retention ends.
func (t *datedTransport) now() time.Time {
	return time.Now().Add(time.Duration(t.skew.Load()))
}

// unanswered: err comes from the connection, so the service may have done what it
// was asked to, or not.
func unanswered(err error) bool {
	return err != nil && !errors.As(err, new(minio.ErrorResponse)) && !errors.Is(err, ErrReadBack)
}

// s3Error maps what S3 answers to the errors of this package.
func s3Error(err error) error {
	var answer minio.ErrorResponse
	if !errors.As(err, &answer) {
		return err
	}
	var is error
	switch answer.Code {
	case minio.NoSuchKey, minio.NoSuchVersion:
		is = fs.ErrNotExist
	case minio.PreconditionFailed, "BucketAlreadyOwnedByYou", "BucketAlreadyExists":
		is = fs.ErrExist
	case "NoSuchUpload":
		is = ErrNoUpload
	default:
		return err
	}
	return fmt.Errorf("%w: %w", is, err)
}
