package main

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"time"
)

const reference = "2026-0042"

// A lab is custodyd on an empty directory, with one case, and examiners at as many
// machines as are asked for, each with an exhibit of its own: E-001, E-002, …
type lab struct {
	b      *bench
	dir    string
	server *process
}

// greeting is what custodyd says when it serves.
var greeting = regexp.MustCompile(`(?m)^ *address *(\S+)\n(?:.*\n)*? *verifier *(\S+)\n`)

// newLab starts a lab on a directory store, or with s3 on a bucket of that.
func (b *bench) newLab(ctx context.Context, name string, machines int, s3 *minio) (l *lab, err error) {
	l = &lab{b: b, dir: filepath.Join(b.dir, name)}
	if err := os.Mkdir(l.dir, 0o700); err != nil {
		return nil, err
	}
	key := filepath.Join(l.dir, "key")
	if _, _, err := b.command(ctx, nil, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", principal, "-f", key); err != nil {
		return nil, err
	}
	argv := []string{
		filepath.Join(b.bin, "custodyd"), "serve", "--data", filepath.Join(l.dir, "data"), "--listen", "127.0.0.1:0",
		"--origin", origin, "--retain-days", "1", "--admin-key", key + ".pub", "--admin-principal", principal,
	}
	var env []string
	if s3 != nil {
		env = []string{"CUSTODYD_S3_ACCESS_KEY=" + minioUser, "CUSTODYD_S3_SECRET_KEY=" + s3.secret}
		argv = append(argv, "--s3-endpoint", s3.address, "--s3-plain-http", "--s3-bucket", name, "--s3-create-bucket")
	}
	if l.server, err = b.start(ctx, "custodyd", filepath.Join(l.dir, "custodyd.log"), env, argv...); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, l.close())
		}
	}()
	said, err := l.server.says(ctx, greeting)
	if err != nil {
		return nil, err
	}
	for m := range machines {
		if _, _, err := l.cli(ctx, m, "setup", "--server", said[0], "--principal", principal, "--key", key, "--verifier-key", said[1]); err != nil {
			return nil, err
		}
	}
	if _, _, err := l.cli(ctx, 0, "case", "open", "--reference", reference, "--title", "Bench"); err != nil {
		return nil, err
	}
	for m := range machines {
		_, _, err := l.cli(ctx, m, "exhibit", "add", "--case", reference, "--label", fmt.Sprintf("E-%03d", m+1), "--kind", "disk",
			"--found-by", "Erika Examiner", "--found-at", "Office 3.12", "--witness", "Wilhelm Witness")
		if err != nil {
			return nil, err
		}
	}
	return l, nil
}

// close stops the server and removes what it kept. Objects of a write-once
// directory resist even their maker.
func (l *lab) close() error {
	err := l.server.stop()
	return errors.Join(err, l.b.remove(l.dir))
}

// cli runs custody-cli on one of the machines.
func (l *lab) cli(ctx context.Context, machine int, args ...string) (sample, []byte, error) {
	env := []string{fmt.Sprintf("CUSTODY_CONFIG=%s/machine%d", l.dir, machine)}
	return l.b.command(ctx, env, append([]string{filepath.Join(l.b.bin, "custody-cli"), "--quiet"}, args...)...)
}

// command is a side that runs custody-cli on the first machine. proof is text that
// has to stand in its output.
func (l *lab) command(name, proof string, args ...string) side {
	return side{name: name, run: func(ctx context.Context) (sample, error) {
		before, err := l.server.cpu()
		if err != nil {
			return sample{}, err
		}
		s, out, err := l.cli(ctx, 0, args...)
		if err != nil {
			return sample{}, err
		}
		if err := proven(out, proof); err != nil {
			return sample{}, err
		}
		after, err := l.server.cpu()
		s.server = after - before
		return s, err
	}}
}

// ingest is what an examiner types at a machine to seal a file.
func ingest(machine int, file string) []string {
	return []string{
		"ingest", "--exhibit", fmt.Sprintf("%s/E-%03d", reference, machine+1), "--tool", "dd 9.1",
		"--witness", "Wilhelm Witness", "--place", "Lab 2", file,
	}
}

const minioUser = "bench"

// minio is a real S3 server.
type minio struct {
	b               *bench
	server          *process
	dir             string
	address, secret string
}

func (b *bench) newMinio(ctx context.Context) (m *minio, err error) {
	m = &minio{b: b, dir: filepath.Join(b.dir, "minio")}
	if err := os.Mkdir(m.dir, 0o700); err != nil {
		return nil, err
	}
	if m.address, err = freeAddress(ctx); err != nil {
		return nil, err
	}
	random := make([]byte, 16)
	if _, err := rand.Read(random); err != nil {
		return nil, err
	}
	m.secret = hex.EncodeToString(random)
	env := []string{"MINIO_ROOT_USER=" + minioUser, "MINIO_ROOT_PASSWORD=" + m.secret, "MINIO_BROWSER=off", "MINIO_UPDATE=off"}
	m.server, err = b.start(ctx, "minio", filepath.Join(b.dir, "minio.log"), env, b.minio, "server", "--address", m.address, m.dir)
	if err != nil {
		return nil, err
	}
	for !m.ready(ctx) {
		if err := m.server.wait(ctx, 100*time.Millisecond); err != nil {
			return nil, errors.Join(err, m.close())
		}
	}
	return m, nil
}

func (m *minio) ready(ctx context.Context) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.address+"/minio/health/ready", nil)
	if err != nil {
		return false
	}
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	return answer.Body.Close() == nil && answer.StatusCode == http.StatusOK
}

// environment tells rclone of the server, as the remote s3.
func (m *minio) environment() []string {
	return []string{
		"RCLONE_CONFIG=/dev/null", "RCLONE_CONFIG_S3_TYPE=s3", "RCLONE_CONFIG_S3_PROVIDER=Minio",
		"RCLONE_CONFIG_S3_ENDPOINT=http://" + m.address, "RCLONE_CONFIG_S3_ACCESS_KEY_ID=" + minioUser,
		"RCLONE_CONFIG_S3_SECRET_ACCESS_KEY=" + m.secret,
	}
}

func (m *minio) close() error {
	err := m.server.stop()
	return errors.Join(err, m.b.remove(m.dir))
}

// freeAddress is one of the loopback's that nobody listens on now.
func freeAddress(ctx context.Context) (string, error) {
	var listen net.ListenConfig
	l, err := listen.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}
