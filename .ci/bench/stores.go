package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// directoryRows compare a lab on the directory store with what is done without us.
func (b *bench) directoryRows(ctx context.Context) (rows []row, err error) {
	l, err := b.newLab(ctx, "directory", 1, nil)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	ingested, err := b.ingestRows(ctx, l)
	if err != nil {
		return nil, err
	}
	local, err := b.localRows(ctx, l)
	if err != nil {
		return nil, err
	}
	object, err := b.objectFile(l)
	if err != nil {
		return nil, err
	}
	online, err := b.onlineRow(ctx, l, "the directory, read from the medium", "dd iflag=direct to openssl dgst",
		fmt.Sprintf(`dd if='%s' bs=1M iflag=direct status=none | openssl dgst -sha256`, object))
	return append(append(ingested, local...), online), err
}

func (b *bench) ingestRows(ctx context.Context, l *lab) ([]row, error) {
	gone := b.script(`rm -rf "$G" "$G".*`)
	results, err := b.interleave(ctx,
		l.command("ingest, directory store", b.sum, ingest(0, b.file)...),
		b.shell("sha256sum, cp, sync, sha256sum", `sha256sum "$F" && cp "$F" "$G" && sync && sha256sum "$G"`, b.sum).leaving(gone),
		b.shell("openssl, cp, sync, openssl", `openssl dgst -sha256 "$F" && cp "$F" "$G" && sync && openssl dgst -sha256 "$G"`, b.sum).leaving(gone),
		b.shell("dc3dd", `dc3dd if="$F" hof="$G" hash=sha256`, b.sum).leaving(gone),
		b.shell("ewfacquire, ewfverify", `ewfacquire -u -c none -d sha256 -t "$G" "$F" && ewfverify -d sha256 "$G.E01"`, b.sum).leaving(gone),
		b.shell("restic backup, check", `restic backup --compression off "$F" && restic check --read-data`, "").
			after(b.script(`restic init`)).leaving(gone))
	if err != nil {
		return nil, err
	}
	const work = "ingest, directory store (three hashes, sealed)"
	var times []string
	fastest := results[3].wall()
	for i, name := range []string{"dc3dd", "ewfacquire + ewfverify", "restic backup + check"} {
		times = append(times, fmt.Sprintf("%s %.2f s", name, results[3+i].wall().Seconds()))
		fastest = min(fastest, results[3+i].wall())
	}
	ours := results[0].wall()
	imaging := b.compare(work, atMost(0.5, ""), ours, "", fastest)
	imaging.alternative = strings.Join(times, ", ")
	imaging.goal += " of the fastest"
	return []row{
		b.compare(work, atMost(0.35, ""), ours, "sha256sum && cp && sync && sha256sum", results[1].wall()),
		b.compare(work, atMost(1.1, ""), ours, "openssl && cp && sync && openssl", results[2].wall()),
		imaging,
		b.serverTime("directory store", results[0]),
	}, nil
}

// serverTime compares what the server spent with two passes of SHA-256.
func (b *bench) serverTime(store string, ingested samples) row {
	gib := float64(b.size) / (1 << 30)
	perGiB := func(d time.Duration) time.Duration { return time.Duration(float64(d) / gib) }
	ours, floor := perGiB(median(ingested, func(s sample) time.Duration { return s.server })), 2*perGiB(b.pass)
	r := b.compare("server CPU per GiB ingested, "+store, atMost(2, ""), ours, "", floor)
	r.ours, r.alternative = fmt.Sprintf("%.2f s", ours.Seconds()), fmt.Sprintf("two SHA-256 passes: %.2f s", floor.Seconds())
	return r
}

// localRows compare the check of a local file against a bundle.
func (b *bench) localRows(ctx context.Context, l *lab) ([]row, error) {
	bundle := filepath.Join(l.dir, "case.zip")
	if _, _, err := l.cli(ctx, 0, "export", reference, "-o", bundle); err != nil {
		return nil, err
	}
	results, err := b.interleave(ctx,
		l.command("verify a file against a bundle", "verified", "verify", b.file, "--against", bundle),
		b.shell("openssl dgst", `openssl dgst -sha256 "$F"`, b.sum),
		b.shell("sha256sum", `sha256sum "$F"`, b.sum))
	if err != nil {
		return nil, err
	}
	const work = "verify a local file against a bundle"
	ours := results[0].wall()
	return []row{
		b.compare(work, atLeast(1.9, " ×"), ours, "openssl dgst", results[1].wall()),
		b.compare(work, atLeast(5, " ×"), ours, "sha256sum", results[2].wall()),
	}, nil
}

// onlineRow compares the check of a sealed copy in the store with a script that
// reads the same object.
func (b *bench) onlineRow(ctx context.Context, l *lab, store, name, script string) (row, error) {
	results, err := b.interleave(ctx,
		l.command("verify from the store", b.sum, "verify", reference+"/E-001/M1"),
		b.shell(name, script, b.sum))
	if err != nil {
		return row{}, err
	}
	return b.compare("verify from the store, online: "+store, atLeast(1.5, " ×"), results[0].wall(), name, results[1].wall()), nil
}

// objectFile is a sealed copy of the file where the directory store keeps it.
func (b *bench) objectFile(l *lab) (string, error) {
	dir := filepath.Join(l.dir, "data", "objects", "objects")
	list, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range list {
		info, err := e.Info()
		if err != nil {
			return "", err
		}
		if info.Size() == b.size {
			return filepath.Join(dir, e.Name()), nil
		}
	}
	return "", fmt.Errorf("%s: no object of %d bytes", dir, b.size)
}

// s3Rows compare a lab on a real S3 server with a tool that copies there.
func (b *bench) s3Rows(ctx context.Context) (rows []row, err error) {
	m, err := b.newMinio(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, m.close()) }()
	l, err := b.newLab(ctx, "evidence", 1, m)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, l.close()) }()
	b.env = append(b.env, m.environment()...)
	if err := b.script(`rclone mkdir s3:plain`)(ctx); err != nil {
		return nil, err
	}
	results, err := b.interleave(ctx,
		l.command("ingest, MinIO", b.sum, ingest(0, b.file)...),
		b.shell("openssl, rclone copyto, rclone cat", `openssl dgst -sha256 "$F" && rclone copyto "$F" s3:plain/image && `+
			`rclone cat s3:plain/image | openssl dgst -sha256`, b.sum).leaving(b.script(`rclone delete s3:plain`)))
	if err != nil {
		return nil, err
	}
	_, list, err := b.command(ctx, nil, "rclone", "lsf", "--files-only", "--format", "sp", "s3:evidence")
	if err != nil {
		return nil, err
	}
	key := ""
	for line := range bytes.Lines(list) {
		if size, name, _ := strings.Cut(strings.TrimSpace(string(line)), ";"); size == fmt.Sprint(b.size) {
			key = name
		}
	}
	if key == "" {
		return nil, fmt.Errorf("no object of %d bytes in:\n%s", b.size, list)
	}
	online, err := b.onlineRow(ctx, l, "MinIO", "rclone cat to openssl dgst", fmt.Sprintf(`rclone cat 's3:evidence/%s' | openssl dgst -sha256`, key))
	return []row{
		b.compare("ingest on MinIO (three hashes, locked, sealed)", atMost(0.8, ""), results[0].wall(),
			"openssl && rclone copyto && rclone cat to openssl", results[1].wall()),
		b.serverTime("MinIO", results[0]),
		online,
	}, err
}
