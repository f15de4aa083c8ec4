package objectstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"
)

// servers are the S3 services we know, each with all in which it deviates from
// what we want of one. What we do about it stands beside it.
var servers = []struct {
	name     string
	start    func(*testing.T) Config
	conform  map[string]string // name of a check to a part of its error
	attack   map[string]string
	checksum map[string]string
	signed   checksum // taken where chunks are signed
	missing  []string // what Probe misses
}{
	{
		name: "minio", start: startMinIO, signed: sumCRC,
	},
	{
		name: "versitygw", start: startVersity, signed: sumETag,
		attack: map[string]string{
			// No key is ever written twice, and the probe warns.
			"overwrite": "lock none",
			// The store itself never deletes; a marker shows in List.
			"hide": "lock none",
		},
		checksum: map[string]string{
			// Probed, and the next one taken.
			"crc64nvme signed": "CRC64NVME you specified did not match",
			"sha256 signed":    "SHA256 you specified did not match",
		},
		missing: []string{
			"overwrite: an overwrite leaves the earlier version with lock none",
			// Holds are not relied on: whoever holds evidence extends its retention.
			"hold: a held version could be deleted once its retention had lapsed",
		},
	},
}

func TestS3(t *testing.T) {
	for _, server := range servers {
		t.Run(server.name, func(t *testing.T) {
			t.Parallel()
			c := server.start(t)
			r := newS3(t, c)
			conform(t, r, server.conform)
			for _, a := range attacks {
				t.Run(a.name, func(t *testing.T) { judge(t, server.attack[a.name], a.run(t.Context(), r.store.(*S3))) })
			}
			t.Run("plain remote connection", func(t *testing.T) {
				s := *r.store.(*S3)
				s.unsigned = false
				p := s.newProbe()
				must(t, p.run(t.Context(), false))
				if missing := p.report.Missing(Required); missing != nil || p.sum != server.signed {
					t.Errorf("takes %s, misses %v", p.sum, missing)
				}
			})
			t.Run("governance", func(t *testing.T) { testGovernance(t, c) })
			t.Run("probe", func(t *testing.T) {
				report, err := r.Probe(t.Context())
				must(t, err)
				if diff := cmp.Diff(server.missing, append(report.Missing(Required), report.Missing(Advised)...)); diff != "" {
					t.Error(diff)
				}
			})
			for _, sum := range []checksum{sumCRC, sumSHA, sumETag} {
				for way, unsigned := range map[string]bool{"signed": false, "unsigned": true} {
					t.Run(string(sum)+" "+way, func(t *testing.T) {
						judge(t, server.checksum[string(sum)+" "+way], checksums(t.Context(), *r.store.(*S3), sum, unsigned))
					})
				}
			}
			t.Run("no lock", func(t *testing.T) { testUnlocked(t, c) })
			t.Run("refused", func(t *testing.T) { testRefused(t, c) })
		})
	}
}

func newS3(t *testing.T, c Config) *rig {
	t.Helper()
	open := func() (store, error) {
		s, err := OpenS3(t.Context(), c)
		if err != nil {
			return nil, err
		}
		s.copyStep = 5 << 20 // so that a copy has several parts
		return s, nil
	}
	s, err := open()
	must(t, err)
	r := &rig{store: s, lock: s.Describe().Lock}
	r.reopen = func() (store, error) {
		if err := r.Close(); err != nil {
			return nil, err
		}
		return open()
	}
	t.Cleanup(func() { must(t, r.Close()) })
	return r
}

// attacks try to get rid of a locked object with our own credentials, by ways
// the store itself does not have.
var attacks = []struct {
	name string
	run  func(ctx context.Context, s *S3) error
}{
	{"delete", func(ctx context.Context, s *S3) error {
		return survives(ctx, s, func(o Object) error {
			return s.core.RemoveObject(ctx, s.bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.Version})
		})
	}},
	{"delete with bypass", func(ctx context.Context, s *S3) error {
		return survives(ctx, s, func(o Object) error {
			return s.core.RemoveObject(ctx, s.bucket, o.Key, minio.RemoveObjectOptions{VersionID: o.Version, GovernanceBypass: true})
		})
	}},
	{"shorten", func(ctx context.Context, s *S3) error {
		return survives(ctx, s, func(o Object) error {
			mode, until := minio.Compliance, o.RetainUntil.Add(-time.Hour)
			return s.core.PutObjectRetention(ctx, s.bucket, o.Key, minio.PutObjectRetentionOptions{VersionID: o.Version, Mode: &mode, RetainUntilDate: &until, GovernanceBypass: true})
		})
	}},
	{"downgrade", func(ctx context.Context, s *S3) error {
		return survives(ctx, s, func(o Object) error {
			mode := minio.Governance
			return s.core.PutObjectRetention(ctx, s.bucket, o.Key, minio.PutObjectRetentionOptions{VersionID: o.Version, Mode: &mode, RetainUntilDate: &o.RetainUntil, GovernanceBypass: true})
		})
	}},
	{"lift", func(ctx context.Context, s *S3) error {
		return survives(ctx, s, func(o Object) error {
			return s.core.PutObjectRetention(ctx, s.bucket, o.Key, minio.PutObjectRetentionOptions{VersionID: o.Version, GovernanceBypass: true})
		})
	}},
	{"overwrite", func(ctx context.Context, s *S3) error {
		other := ""
		err := survives(ctx, s, func(o Object) error {
			info, err := s.core.PutObject(ctx, s.bucket, o.Key, strings.NewReader("other"), 5, "", "", minio.PutObjectOptions{})
			other = info.VersionID
			return errors.Join(err, errAllowed, listed(ctx, s, o.Key, []string{other, o.Version}))
		})
		return err
	}},
	{"hide", func(ctx context.Context, s *S3) error {
		return survives(ctx, s, func(o Object) error {
			err := s.core.RemoveObject(ctx, s.bucket, o.Key, minio.RemoveObjectOptions{})
			_, stat := s.Stat(ctx, o.Key, "")
			return errors.Join(err, errAllowed, expect(stat, fs.ErrNotExist, "stat of a hidden object"), listed(ctx, s, o.Key, []string{"marker", o.Version}))
		})
	}},
}

// errAllowed: S3 allows this, and the object must survive it.
var errAllowed = errors.New("allowed")

// survives makes a locked object, lets attack loose on it, and demands that it is
// refused and that the object is as it was.
func survives(ctx context.Context, s *S3, attack func(Object) error) error {
	content := noise(1, 10<<10)
	o, err := put(ctx, s, name(), content)
	if err != nil {
		return err
	}
	err = attack(o)
	if !errors.Is(err, errAllowed) {
		if err := refused(err, "the attack succeeded"); err != nil {
			return err
		}
	} else if joined := err.(interface{ Unwrap() []error }).Unwrap(); len(joined) > 1 {
		return err
	}
	now, err := s.Stat(ctx, o.Key, o.Version)
	if err != nil {
		return err
	}
	if now != o {
		return fmt.Errorf("now lock %s until %s: %+v", now.Lock, now.RetainUntil, now)
	}
	return holds(ctx, s, o, content)
}

// listed demands these versions of key, newest first.
func listed(ctx context.Context, s *S3, key string, want []string) error {
	var got []string
	for o, err := range s.List(ctx, key) {
		switch {
		case err != nil:
			return err
		case o.Marker:
			got = append(got, "marker")
		default:
			got = append(got, o.Version)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		return fmt.Errorf("versions listed: %s", diff)
	}
	return nil
}

// testGovernance: the weaker mode is the one that is asked for, stands in the
// object, and the probe says who can bypass it.
func testGovernance(t *testing.T, c Config) {
	c.Mode = LockGovernance
	s, err := OpenS3(t.Context(), c)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	if missing := strings.Join(s.Describe().Missing, "\n"); !strings.Contains(missing, "bypass: our own credentials") {
		t.Errorf("missing: %s", missing)
	}
	o, err := put(t.Context(), s, name(), nil)
	must(t, err)
	if o.Lock != LockGovernance {
		t.Errorf("lock %s", o.Lock)
	}
	if _, err := s.Extend(t.Context(), o, o.RetainUntil.Add(time.Hour)); err != nil {
		t.Error(err)
	}
	// An object that is locked better than asked for stays so.
	c.Mode = LockCompliance
	strict, err := OpenS3(t.Context(), c)
	must(t, err)
	defer func() { must(t, strict.Close()) }()
	o, err = put(t.Context(), strict, name(), nil)
	must(t, err)
	if o, err = s.Extend(t.Context(), o, o.RetainUntil.Add(time.Hour)); err != nil || o.Lock != LockCompliance {
		t.Errorf("extended to %+v, %v", o, err)
	}
}

// checksums writes with every checksum, over connections that need signed chunks
// and over those that do not. The probe takes the first that works.
func checksums(ctx context.Context, s S3, sum checksum, unsigned bool) error {
	s.sum, s.unsigned = sum, unsigned
	content := noise(1, 6<<20)
	o, err := put(ctx, &s, name(), content)
	if err != nil {
		return err
	}
	if err := holds(ctx, &s, o, content); err != nil {
		return err
	}
	u, parts, err := upload(ctx, &s, name(), content, 5<<20)
	if err != nil {
		return err
	}
	if u.Sum != string(sum) {
		return fmt.Errorf("upload with %q", u.Sum)
	}
	if o, err = s.Complete(ctx, u, parts); err != nil {
		return err
	}
	_, err = put(ctx, &s, name(), nil)
	return errors.Join(err, holds(ctx, &s, o, content))
}

// testUnlocked: a bucket without object lock is refused, or taken for what it is.
func testUnlocked(t *testing.T, c Config) {
	locked, err := connect(c)
	must(t, err)
	c.Bucket = "unlocked"
	must(t, locked.core.MakeBucket(t.Context(), c.Bucket, minio.MakeBucketOptions{}))

	_, err = OpenS3(t.Context(), c)
	var missing *UnlockedError
	if !errors.As(err, &missing) || !strings.Contains(err.Error(), "lock: ") || !strings.Contains(err.Error(), "versioning: ") {
		t.Fatalf("opened: %v", err)
	}
	c.AllowUnlocked = true
	s, err := OpenS3(t.Context(), c)
	must(t, err)
	defer func() { must(t, s.Close()) }()
	if d := s.Describe(); d.Lock != LockNone || len(d.Missing) < len(missing.Missing) {
		t.Errorf("%+v", d)
	}
	content := noise(1, 6<<20)
	u, parts, err := upload(t.Context(), s, name(), content, 5<<20)
	must(t, err)
	for range 2 {
		o, err := s.Complete(t.Context(), u, parts)
		must(t, err)
		if o.Lock != LockNone || !o.RetainUntil.IsZero() {
			t.Errorf("%+v", o)
		}
		must(t, holds(t.Context(), s, o, content))
		if same, err := s.Extend(t.Context(), o, tomorrow()); err != nil || same != o {
			t.Errorf("extended to %+v, %v", same, err)
		}
	}
	if _, err := put(t.Context(), s, u.Key, nil); !errors.Is(err, fs.ErrExist) {
		t.Errorf("written again: %v", err)
	}
}

func testRefused(t *testing.T, c Config) {
	must(t, c.Validate())
	if err := CreateBucket(t.Context(), c); !errors.Is(err, fs.ErrExist) {
		t.Errorf("created again: %v", err)
	}
	for _, x := range []struct {
		name   string
		change func(*Config)
		want   string
	}{
		{"no bucket", func(c *Config) { c.Bucket = "nothing-here" }, ErrNoBucket.Error()},
		{"wrong secret", func(c *Config) { c.SecretKey = "wrong-secret" }, ""},
		{"nobody listens", func(c *Config) { c.Endpoint = "127.0.0.1:1" }, "connection refused"},
		{"no TLS there", func(c *Config) { c.TLS = true }, "HTTP response to HTTPS client"},
		{"no authority file", func(c *Config) { c.TLS, c.CAFile = true, "no-such-file" }, "no such file"},
		{"everything wrong", func(c *Config) { *c = Config{Mode: "loose", CAFile: "x", Endpoint: "http://x/"} }, "host:port"},
	} {
		bad := c
		x.change(&bad)
		_, err := OpenS3(t.Context(), bad)
		if err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: %v", x.name, err)
		}
		if errors.As(err, new(*UnlockedError)) {
			t.Errorf("%s reads as a store without locks: %v", x.name, err)
		}
	}
	// A bucket that vanished does not read as an object that is not there.
	s, err := connect(c)
	must(t, err)
	s.bucket = "nothing-here"
	if _, err := s.Stat(t.Context(), "key", ""); err == nil || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("stat in a bucket that is not there: %v", err)
	}
}

func TestSecretIsNotPrinted(t *testing.T) {
	c := Config{SecretKey: "hunter2"}
	text, err := json.Marshal(c)
	must(t, err)
	var all bytes.Buffer
	fmt.Fprintf(&all, "%v %+v %#v %s %q %x %s", c, c, c, c.SecretKey, c.SecretKey, c.SecretKey, text)
	if s := all.String(); strings.Contains(s, "hunter2") || strings.Contains(s, "68756e74657232") {
		t.Error(s)
	}
}

func TestPartSize(t *testing.T) {
	for _, c := range []struct{ size, want int64 }{
		{0, 16 << 20},
		{1, 16 << 20},
		{8000 * 16 << 20, 16 << 20},
		{8000*16<<20 + 1, 32 << 20},
		{4e12, 480 << 20},
		{5 << 40, 656 << 20},
	} {
		if got := partSize(c.size); got != c.want {
			t.Errorf("%d bytes: %d, want %d", c.size, got, c.want)
		}
		if u := (Upload{Size: c.size, PartSize: partSize(c.size)}); u.Parts() > partCount {
			t.Errorf("%d bytes: %d parts", c.size, u.Parts())
		}
	}
}
