package attack

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

const (
	bucketUser   = "attack"
	bucketSecret = "attack-secret"
)

// bucket starts a real S3 server and establishes a lab whose objects are there. The
// attacker gets the administrator's keys of it.
func bucket(t *testing.T) (*lab, *minio.Client) {
	t.Helper()
	address := free(t)
	server := exec.CommandContext(context.WithoutCancel(t.Context()), "minio", "server", "--quiet", "--address", address, t.TempDir())
	server.Env = append(os.Environ(), "MINIO_ROOT_USER="+bucketUser, "MINIO_ROOT_PASSWORD="+bucketSecret, "MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME="+t.TempDir())
	must(t, server.Start())
	t.Cleanup(func() {
		must(t, server.Process.Kill())
		_ = server.Wait() // it was killed
	})
	for range 600 {
		if answered(t, "http://"+address+"/minio/health/ready") {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	l := &lab{dir: t.TempDir() + "/lab"}
	l.env = []string{"CUSTODYD_S3_ACCESS_KEY=" + bucketUser, "CUSTODYD_S3_SECRET_KEY=" + bucketSecret}
	establish(t, l, "--s3-endpoint", address, "--s3-plain-http", "--s3-bucket", "evidence", "--s3-create-bucket")
	client, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(bucketUser, bucketSecret, "")})
	must(t, err)
	return l, client
}

func answered(t *testing.T, url string) bool {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	must(t, err)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	must(t, resp.Body.Close())
	return resp.StatusCode == http.StatusOK
}

// contents are the versions of the copies' bytes.
func contents(t *testing.T, s3 *minio.Client) []minio.ObjectInfo {
	t.Helper()
	var found []minio.ObjectInfo
	for o := range s3.ListObjects(t.Context(), "evidence", minio.ListObjectsOptions{WithVersions: true, Recursive: true}) {
		must(t, o.Err)
		if strings.HasSuffix(o.Key, "-content") {
			found = append(found, o)
		}
	}
	if len(found) != 2 {
		t.Fatalf("there are %d objects with the bytes of copies, want 2", len(found))
	}
	return found
}

// deleteVersions tries to delete each version, bypassing what can be bypassed: the lock
// refuses. A delete marker only hides: the service reads versions.
func deleteVersions(t *testing.T) {
	l, s3 := bucket(t)
	for _, o := range contents(t, s3) {
		err := s3.RemoveObject(t.Context(), "evidence", o.Key, minio.RemoveObjectOptions{VersionID: o.VersionID, GovernanceBypass: true, ForceDelete: false})
		if err == nil || !strings.Contains(err.Error(), "WORM protected") {
			t.Fatalf("the store was to refuse the deletion of %s: %v", o.Key, err)
		}
		must(t, s3.RemoveObject(t.Context(), "evidence", o.Key, minio.RemoveObjectOptions{}))
	}
	l.audit("object-marker")
	l.up()
	l.must("analyst1", "copy", "fetch", "2026-0042/E-001/W1", "-o", l.path("w.dd"))
}

// swapVersions puts other bytes over each object: a version beside the one that the
// ledger names.
func swapVersions(t *testing.T) {
	l, s3 := bucket(t)
	for _, o := range contents(t, s3) {
		_, err := s3.PutObject(t.Context(), "evidence", o.Key, strings.NewReader("other"), 5, minio.PutObjectOptions{})
		must(t, err)
	}
	l.audit("object-version")
	l.up()
	l.must("examiner1", "verify", "2026-0042/E-001/M1")
}

// rubbishAhead puts objects under the names that the ledger's next segments will have, with
// a lock that nobody can take from them.
func rubbishAhead(t *testing.T) {
	l, s3 := bucket(t)
	for n := range 60 {
		for _, form := range []string{"ledger-%016d", "payload-%016d"} {
			key := fmt.Sprintf(form, n)
			if _, err := s3.StatObject(t.Context(), "evidence", key, minio.StatObjectOptions{}); err == nil {
				continue
			}
			_, err := s3.PutObject(t.Context(), "evidence", key, strings.NewReader("x"), 1,
				minio.PutObjectOptions{Mode: minio.Compliance, RetainUntilDate: time.Now().AddDate(10, 0, 0)})
			must(t, err)
		}
	}
	l.up()
	l.must("examiner1", "case", "open", "--reference", "2026-0043", "--title", "Another")
	l.down()
	l.audit("segment-foreign")
	l.rebuilt("2026-0043")
}
