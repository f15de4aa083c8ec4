package objectstore

import (
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	minio.DefaultRetryUnit = time.Millisecond // between tries on a connection we broke ourselves
	goleak.VerifyTestMain(m)
}
