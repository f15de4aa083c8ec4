package acquire

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

// The files of testdata were written by the tools themselves: dc3dd 7.2.646,
// dcfldd 1.9, ewf-tools 20140813, hashdeep 4.4, ddrescue 1.27. Where the name
// says "bad" or "errors", reads of some sectors were made to fail.
const (
	srcMD5     = "e2a519e1702cc451630cebd2e6082a66"
	srcSHA1    = "d2e332b707c6dd830046caebe45deb0db2be78bf"
	srcSHA256  = "415953392307806e1d0134d79fdb64f34f6330e52412392af386edc94da09465"
	oddMD5     = "c5094ef36f00edd62191f7ebdbc0cc33"
	oddSHA1    = "59bbbd54ac0e47efff43d84c609a93cafcace52c"
	oddSHA256  = "11634e1ac2ee504ba7e7c0c95790e5a55b31cf074462993fe04d6e2047cae836"
	evenMD5    = "5100f61f29329927e35b38bec9ec2dc5"
	evenSHA1   = "be485865b92cde4adeee132ae0b3e37992d7e6cb"
	evenSHA256 = "83bcdb1882392294441128311c24b74594524aff52d4fc645ebdb7151a1b76f2"
)

// run is a Run with nothing stated but the result, then changed.
func run(result Result, change func(*Run)) Run {
	r := newRun()
	r.Result = result
	change(&r)
	return r
}

type digests = map[string]string

func TestSamples(t *testing.T) {
	const at, later = "2026-11-21 21:58:27 +0000", "2026-11-21 22:16:17 +0000"
	dc3ddLog := func(runs ...Run) Log { return Log{"dc3dd", "7.2.646", "dc3dd log", runs} }
	dcfldd := func(runs ...Run) Log { return Log{"dcfldd", "", "dcfldd hash log", runs} }
	ewfLog := func(runs ...Run) Log { return Log{"ewfacquire", "", "ewfacquire log", runs} }
	ewfOut := func(runs ...Run) Log { return Log{"ewfacquire", "20140813", "ewfacquire output", runs} }
	hashdeep := func(runs ...Run) Log { return Log{"hashdeep", "", "hashdeep 1.0", runs} }
	ddrescue := func(runs ...Run) Log { return Log{"ddrescue", "1.27", "ddrescue mapfile", runs} }
	plain := run(Completed, func(r *Run) {
		r.Started, r.Finished, r.Source = at, at, "src.dd"
		r.CommandLine = "dc3dd if=src.dd hof=dc.dd hash=md5 hash=sha256 log=dc3dd.log hlog=dc3dd.hlog mlog=dc3dd.mlog"
		r.Digests = digests{"md5": srcMD5, "sha256": srcSHA256}
	})
	plainSized := plain
	plainSized.Bytes, plainSized.Sectors = 4194304, 8192
	split := run(Completed, func(r *Run) {
		r.Started, r.Finished, r.Source = at, at, "src.dd"
		r.CommandLine = "dc3dd if=src.dd hofs=split.000 ofsz=2M hash=sha1 log=dcs.log hlog=dcs.hlog"
		r.Digests = digests{"sha1": srcSHA1}
	})
	splitSized := split
	splitSized.Bytes, splitSized.Sectors = 4194304, 8192
	appended := run(Completed, func(r *Run) {
		r.Started, r.Finished, r.Source = later, later, "src.dd"
		r.CommandLine = "dc3dd if=src.dd hof=a1 hash=sha256 log=ap.log"
		r.Digests, r.Bytes, r.Sectors = digests{"sha256": srcSHA256}, 4194304, 8192
	})
	appendedAgain := appended
	appendedAgain.CommandLine = "dc3dd if=src.dd hof=a2 hash=sha256 log=ap.log"

	tests := map[string]struct {
		want    Log
		wantErr error
	}{
		"dc3dd.log":                   {dc3ddLog(plainSized), nil},
		"dc3dd.hlog":                  {dc3ddLog(plain), nil},
		"dc3dd.mlog":                  {dc3ddLog(plain), nil},
		"dc3dd-split.log":             {dc3ddLog(splitSized), nil},
		"dc3dd-split.hlog":            {dc3ddLog(split), nil},
		"dc3dd-two-runs-appended.log": {dc3ddLog(appended, appendedAgain), nil},
		"dc3dd-split.mlog": {dc3ddLog(run(Completed, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:19:54 +0000", "2026-11-22 01:19:55 +0000", "bad.dd"
			r.CommandLine = "dc3dd if=bad.dd hofs=spx.000 ofsz=2M hash=sha1 hash=md5 log=p.log hlog=p.hlog mlog=p.mlog"
			r.Digests = digests{"md5": evenMD5, "sha1": evenSHA1}
		})), nil},
		"dc3dd-aborted.log": {dc3ddLog(run(Aborted, func(r *Run) {
			r.Started, r.Finished = later, later
			r.CommandLine = "dc3dd if=/dev/full of=a3 hash=sha256 log=bad.log"
		})), nil},
		"dc3dd-interrupted.log": {dc3ddLog(run(Aborted, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:17:20 +0000", "2026-11-22 01:17:21 +0000", "big.raw"
			r.CommandLine = "dc3dd if=big.raw of=/dev/null hash=sha256 hash=sha512 log=int2.log hlog=int2.hlog"
			r.Bytes, r.Sectors = 69074944, 134912
			r.Digests = digests{
				"sha256": "fa980f7689c3e873c28d383a50c992f3c937b88cfa205d491633ac3ce310593b",
				"sha512": "332656ba3f4031c65c0e639e3e5f61d4295bb7597c6c22a36bf9d2b082e05b9e40a90726ab26f2dd06115827b5385b76d4cf07db09ed00b5889abcf9b3a18d4b",
			}
		})), nil},
		"dc3dd-killed-then-run.log": {dc3ddLog(run(Incomplete, func(r *Run) {
			r.Started = "2026-11-22 01:17:21 +0000"
			r.CommandLine = "dc3dd if=big.raw of=/dev/null hash=sha256 log=kill.log"
		}), plainSized), nil},
		"dc3dd-failed.log": {dc3ddLog(run(Aborted, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:14:55 +0000", "2026-11-22 01:14:55 +0000", "odd.dd"
			r.CommandLine = "dc3dd if=odd.dd of=o.dd hash=sha256 log=bad.log hlog=bad.hlog mlog=bad.mlog"
			r.Digests = digests{"sha256": "40368d4c83c1dc01f584a4bf1ad39e77e4b70adf73ac2b242d9fbc06f0ff99d3"}
			r.Bytes, r.Sectors = 1048576, 2048
		})), nil},
		"dc3dd-bad-sectors.log": {dc3ddLog(run(Completed, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:17:56 +0000", "2026-11-22 01:17:56 +0000", "sdz"
			r.CommandLine = "dc3dd if=sdz of=sdo.dd hash=sha256 log=dev.log hlog=dev.hlog mlog=dev.mlog"
			r.Digests = digests{"sha256": "ac3cc1584626ede1ace6f58b441dd2e8287f087096d51b79a0b8b311e9e83c6f"}
			r.Bytes, r.Sectors, r.UnreadSectors, r.UnreadBytes = 4194304, 8192, 8, 4096
		})), nil},
		"dc3dd-mismatch.log": {dc3ddLog(run(Completed, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:17:21 +0000", "2026-11-22 01:17:22 +0000", "bad.dd"
			r.CommandLine = "dc3dd if=bad.dd hof=cor.dd hash=sha256 corruptoutput=on log=cor.log"
			r.Digests, r.Bytes, r.Sectors, r.Mismatch = digests{"sha256": evenSHA256}, 4194304, 8192, true
		})), nil},
		"dc3dd-odd.log": {dc3ddLog(run(Completed, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:14:55 +0000", "2026-11-22 01:14:55 +0000", "odd.dd"
			r.CommandLine = "dc3dd if=odd.dd hash=sha256 hash=md5 log=odd.log hlog=odd.hlog mlog=odd.mlog"
			r.Digests, r.Bytes, r.Sectors = digests{"md5": oddMD5, "sha256": oddSHA256}, 4194404, 8192
		})), nil},
		"dc3dd-verbose.log": {dc3ddLog(run(Completed, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:17:22 +0000", "2026-11-22 01:17:22 +0000", "sp.000"
			r.CommandLine = "dc3dd ifs=sp.000 of=j.dd hash=sha1 verb=on log=iv.log"
			r.Digests, r.Bytes, r.Sectors = digests{"sha1": oddSHA1}, 4194404, 8192
		})), nil},
		"dc3dd-compact.log": {dc3ddLog(run(Completed, func(r *Run) {
			r.Started, r.Finished, r.Source = "2026-11-22 01:17:22 +0000", "2026-11-22 01:17:22 +0000", "bad.dd"
			r.CommandLine = "dc3dd if=bad.dd of=n.dd hash=sha256 nwspc=on b10=on log=nw.log hlog=nw.hlog"
			r.Digests, r.Bytes, r.Sectors = digests{"sha256": evenSHA256}, 4194304, 8192
		})), nil},
		// A file named "x\ninput results for file `y':\n   aaaa (sha256)".
		"dc3dd-injected.log": {Log{}, ErrMalformed},

		"dcf.md5": {dcfldd(run(Unknown, func(r *Run) {
			r.Digests, r.Bytes = digests{"md5": srcMD5}, 4194304
		})), nil},
		"dcf.sha256": {dcfldd(run(Unknown, func(r *Run) {
			r.Digests, r.Bytes = digests{"sha256": srcSHA256}, 4194304
		})), nil},
		"dcf2.log": {dcfldd(run(Unknown, func(r *Run) { r.Digests = digests{"sha256": srcSHA256} })), nil},
		"dcfldd-two.log": {dcfldd(run(Unknown, func(r *Run) {
			r.Digests, r.Bytes = digests{"md5": oddMD5, "sha256": oddSHA256}, 4194404
		})), nil},
		// conv=noerror,sync: 4 KiB are in the image but not in the digest.
		"dcfldd-errors.log": {dcfldd(run(Unknown, func(r *Run) {
			r.Digests, r.Bytes = digests{"md5": "4d9769fc76cb3d06f2634b3c73a821ca"}, 4190208
		})), nil},

		"ewf.log": {ewfLog(run(Unknown, func(r *Run) {
			r.Digests = digests{"md5": srcMD5, "sha256": srcSHA256}
		})), nil},
		"str.log": {ewfLog(run(Unknown, func(r *Run) {
			r.Digests = digests{"md5": srcMD5, "sha1": srcSHA1}
		})), nil},
		"ewfacquire-two-runs.log": {ewfLog(
			run(Unknown, func(r *Run) { r.Digests = digests{"md5": evenMD5, "sha1": evenSHA1} }),
			run(Unknown, func(r *Run) { r.Digests = digests{"md5": evenMD5, "sha1": evenSHA1} }),
		), nil},
		"ewfacquire-errors.log": {ewfLog(run(Unknown, func(r *Run) {
			r.Digests = digests{"md5": "d2e70a02f56544a3b7e5c2cc10f52bcd", "sha1": "be09b49ca0808bb665e5cae820de376966d25178"}
			r.UnreadSectors, r.UnreadBytes = 64, 32768
		})), nil},
		"ewfacquire.out": {ewfOut(run(Completed, func(r *Run) {
			r.Started, r.Finished = "Nov 21, 2026 21:58:27", "Nov 21, 2026 21:58:27"
			r.Digests = digests{"md5": srcMD5, "sha256": srcSHA256}
		})), nil},
		"ewfacquire-prompts.out": {ewfOut(run(Completed, func(r *Run) {
			r.Started, r.Finished = "Nov 22, 2026 01:22:57", "Nov 22, 2026 01:22:57"
			r.Digests, r.Bytes = digests{"md5": evenMD5}, 4194304
		})), nil},
		"ewfacquire-errors.out": {ewfOut(run(Completed, func(r *Run) {
			r.Started, r.Finished = "Nov 22, 2026 01:22:57", "Nov 22, 2026 01:22:57"
			r.Digests = digests{"md5": "d2e70a02f56544a3b7e5c2cc10f52bcd", "sha1": "be09b49ca0808bb665e5cae820de376966d25178"}
			r.UnreadSectors, r.UnreadBytes = 64, 32768
		})), nil},
		"ewfacquire-aborted.out": {ewfOut(run(Aborted, func(r *Run) {
			r.Started, r.Finished = "Nov 22, 2026 01:17:22", "Nov 22, 2026 01:17:22"
		})), nil},
		"ewfacquire-failed.out": {ewfOut(run(Aborted, func(r *Run) {
			r.Started, r.Finished = "Nov 22, 2026 01:22:57", "Nov 22, 2026 01:22:57"
		})), nil},
		"ewfacquirestream.out": {Log{"ewfacquirestream", "20140813", "ewfacquirestream output", []Run{
			run(Completed, func(r *Run) {
				r.Started, r.Finished = "Nov 22, 2026 01:22:58", "Nov 22, 2026 01:22:58"
				r.Digests = digests{"md5": evenMD5, "sha1": evenSHA1}
			}),
		}}, nil},
		// A description "x\nMD5 hash calculated over data:\t\te2a5…".
		"ewfacquirestream-injected.out": {Log{}, ErrMalformed},

		"hashdeep.txt": {hashdeep(run(Completed, func(r *Run) {
			r.CommandLine, r.Source = "hashdeep -c md5,sha256 src.dd", "/evidence/2026-0042/src.dd"
			r.Digests, r.Bytes = digests{"md5": srcMD5, "sha256": srcSHA256}, 4194304
		})), nil},
		"hashdeep-two.txt": {hashdeep(
			run(Completed, func(r *Run) {
				r.CommandLine, r.Source = "hashdeep -c md5,sha1,sha256 odd.dd bad.dd", "/evidence/2026-0042/bad.dd"
				r.Digests, r.Bytes = digests{"md5": evenMD5, "sha1": evenSHA1, "sha256": evenSHA256}, 4194304
			}),
			run(Completed, func(r *Run) {
				r.CommandLine, r.Source = "hashdeep -c md5,sha1,sha256 odd.dd bad.dd", "/evidence/2026-0042/odd.dd"
				r.Digests, r.Bytes = digests{"md5": oddMD5, "sha1": oddSHA1, "sha256": oddSHA256}, 4194404
			}),
		), nil},
		"hashdeep-pieces.txt": {hashdeep(run(Unknown, func(r *Run) {
			r.CommandLine, r.Source = "hashdeep -p 1M -c md5 bad.dd", "/evidence/2026-0042/bad.dd"
		})), nil},
		// A file named "h\n1,2,3.dd".
		"hashdeep-injected.txt": {Log{}, ErrMalformed},

		"resc.map": {ddrescue(run(Completed, func(r *Run) {
			r.CommandLine = "ddrescue -d src.dd resc.dd resc.map"
			r.Started, r.Finished = "2026-11-21 21:58:28", "2026-11-21 21:58:29"
			r.Bytes, r.UnreadBytes = 4194304, 0
		})), nil},
		"ddrescue-bad.map": {ddrescue(run(Completed, func(r *Run) {
			r.CommandLine = "ddrescue -d bad.dd r.img r.map"
			r.Started, r.Finished = "2026-11-22 01:15:44", "2026-11-22 01:15:44"
			r.Bytes, r.UnreadBytes = 4194304, 4096
		})), nil},
		"ddrescue-stopped.map": {ddrescue(run(Incomplete, func(r *Run) {
			r.CommandLine = "ddrescue -n --max-error-rate=0 bad.dd r5.img r5.map"
			r.Started, r.Finished = "2026-11-22 01:15:44", "2026-11-22 01:15:44"
			r.Bytes, r.UnreadBytes = 4194304, 4096
		})), nil},
		"ddrescue-part.map": {ddrescue(run(Incomplete, func(r *Run) {
			r.CommandLine = "ddrescue -s 1M bad.dd r3.img r3.map"
			r.Started, r.Finished = "2026-11-22 01:15:44", "2026-11-22 01:15:44"
			r.Bytes, r.UnreadBytes = 4194304, 3194304
		})), nil},
		// A file named "q\n# Finished.dd".
		"ddrescue-newline.map": {ddrescue(run(Completed, func(r *Run) {
			r.CommandLine = "ddrescue q"
			r.Started, r.Finished = "2026-11-22 01:15:44", "2026-11-22 01:15:44"
			r.Bytes, r.UnreadBytes = 4194304, 0
		})), nil},
	}
	files, err := filepath.Glob("testdata/*.*")
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(tests) {
		t.Errorf("%d files, %d rows", len(files), len(tests))
	}
	for name, tt := range tests {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		for ending, data := range map[string][]byte{"LF": data, "CRLF": bytes.ReplaceAll(data, []byte("\n"), []byte("\r\n"))} {
			got, err := Parse(bytes.NewReader(data))
			if !errors.Is(err, tt.wantErr) {
				t.Errorf("%s (%s): %v, want %v", name, ending, err, tt.wantErr)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("%s (%s): want (-) got (+):\n%s", name, ending, diff)
			}
			if len(got.Runs) > 0 && !cmp.Equal(got.Last(), got.Runs[len(got.Runs)-1]) {
				t.Errorf("%s: last run %v", name, got.Last())
			}
		}
	}
	if diff := cmp.Diff(Run{}, Log{}.Last()); diff != "" {
		t.Error(diff)
	}
}

// TestTampered changes one thing in a good log.
func TestTampered(t *testing.T) {
	const (
		dc3dd, dc3ddDev, dcfldd = "dc3dd.log", "dc3dd-bad-sectors.log", "dcf.md5"
		ewf, ewfErr, ewfBare    = "ewfacquire.out", "ewfacquire-errors.out", "ewfacquire-errors.log"
		hashdeep, ddrescue      = "hashdeep.txt", "ddrescue-bad.map"
	)
	digest := "   " + srcMD5 + " (md5)\n"
	tests := []struct {
		file, old, with string
		wantErr         error
	}{
		{dc3dd, "dc3dd 7.2.646 started", "dcxdd 7.2.646 started", ErrUnknownFormat},
		{dc3dd, digest, digest + digest, ErrMalformed},
		{dc3dd, digest, "   " + srcSHA1 + " (md5)\n", ErrMalformed},
		{dc3dd, digest, "   " + strings.ToUpper(srcMD5) + " (md5)\n", ErrMalformed},
		{dc3dd, digest, "note\n" + digest, ErrMalformed},
		{dc3dd, digest, digest + "   8192 sectors in\n", ErrMalformed},
		{dc3dd, "8192 sectors in", "8191 sectors in", ErrMalformed},
		{dc3dd, "8192 sectors in", "99999999999999999999 sectors in", ErrMalformed},
		{dc3dd, "8192 sectors in", "9223372036854775807 sectors in", ErrMalformed},
		{dc3dd, "sector size: 512", "sector size: 0", ErrMalformed},
		{dc3dd, "4194304 bytes ( 4 M ) copied", "4194305 bytes ( 4 M ) copied", ErrMalformed},
		{dc3dd, "command line: ", "command line: dd\ncommand line: ", ErrMalformed},
		{dc3dd, "output results", "input results for file `x':\n\noutput results", ErrMalformed},
		{dc3dd, "input results for file `src.dd':", "output results for file `src.dd':", ErrMalformed},
		{dc3dd, "dc3dd completed", "dc3dd paused", ErrMalformed},
		{dc3dd, "dc3dd completed", "note\ndc3dd completed", ErrMalformed},
		{dc3dd, "+0000\n\n", "+0000\nnote\n", ErrMalformed},
		{dc3dd, "compiled options:", "dc3dd completed at 1", ErrMalformed},
		{dc3ddDev, "   8 bad sectors", "   8 bad sectors replaced by zeros\n   9 bad sectors", ErrMalformed},

		{dcfldd, "Total (md5): " + srcMD5, "Total (md5): " + srcSHA1, ErrMalformed},
		{dcfldd, "2097152 - 4194304", "2097153 - 4194304", ErrMalformed},
		{dcfldd, "2097152 - 4194304", "2097152 - 2097152", ErrMalformed},
		{dcfldd, "2097152 - 4194304", "2097152 - 99999999999999999999", ErrMalformed},
		{dcfldd, "Total", "note\nTotal", ErrMalformed},

		{ewf, "MD5", "MD5 hash calculated over data:\t\t" + srcMD5 + "\nMD5", ErrMalformed},
		{ewf, srcMD5, srcSHA1, ErrMalformed},
		{ewf, "Acquiry started", "SHA1 hash calculated over data:\t" + srcSHA1 + "\nAcquiry started", ErrMalformed},
		{ewf, "Acquiry completed", "SHA1 hash calculated over data:\t" + srcSHA1 + "\nAcquiry completed", ErrMalformed},
		{ewf, "ewfacquire: SUCCESS\n", "ewfacquire: SUCCESS\nSHA1 hash calculated over data:\t" + srcSHA1 + "\n", ErrMalformed},
		{ewf, "Acquiry started", "Acquiry completed at: x\nAcquiry started", ErrMalformed},
		{ewf, "Acquiry started", "Acquiry started at: x\nAcquiry started", ErrMalformed},
		{ewf, "Acquiry started", "Number of bytes to acquire:\t\t1 (1 bytes)\nNumber of bytes to acquire:\t\t2 (2 bytes)\nAcquiry started", ErrMalformed},
		{ewf, "This could", "Number of bytes to acquire:\t\t1 (1 bytes)\nThis could", ErrMalformed},
		{ewf, "Acquiry started", "ewfacquire: SUCCESS\nAcquiry started", ErrMalformed},
		{ewf, "Acquiry completed", "Acquiry failed", ErrMalformed},
		{ewf, "ewfacquire: SUCCESS", "ewfacquirestream: SUCCESS", ErrMalformed},
		{ewf, "ewfacquire: SUCCESS", "ewfacquire: FAILURE\newfacquire: SUCCESS", ErrMalformed},
		{ewfErr, "total number: 1", "total number: 2", ErrMalformed},
		{ewfErr, "\ttotal number: 1\n", "", ErrMalformed},
		{ewfErr, "number: 64", "number: many", ErrMalformed},
		{ewfErr, "number: 64", "number: 99999999999999999999", ErrMalformed},
		{ewfBare, "total number: 1", "total number: 0", ErrMalformed},
		{ewfBare, "\ttotal", "note\n\ttotal", ErrMalformed},

		{hashdeep, "HASHDEEP-1.0", "HASHDEEP-2.0", ErrUnknownFormat},
		{hashdeep, "size,md5", "md5,size", ErrMalformed},
		{hashdeep, "size,md5,sha256,filename", "size,filename", ErrMalformed},
		{hashdeep, "## Invoked from", "## invoked from", ErrMalformed},
		{hashdeep, "## \n", "", ErrMalformed},
		{hashdeep, "## # ", "## #\n## # ", ErrMalformed},
		{hashdeep, "## \n", "1,2,3,4\n## \n", ErrMalformed},
		{hashdeep, "4194304,", "4194304.0,", ErrMalformed},
		{hashdeep, "4194304," + srcMD5, "4194304," + srcSHA1, ErrMalformed},
		{hashdeep, "," + srcMD5, "", ErrMalformed},
		{hashdeep, "/evidence/2026-0042/src.dd\n", "\n", ErrMalformed},
		{hashdeep, "/evidence/2026-0042/src.dd\n", "/evidence/2026-0042/src.dd\n## \n", ErrMalformed},

		{ddrescue, "# Mapfile", "# Map", ErrUnknownFormat},
		{ddrescue, "0x00100C00     +", "0x00100C00     1", ErrMalformed},
		{ddrescue, "0x00100C00     +               1\n", "", ErrMalformed},
		{ddrescue, "0x00101000  0x002FF000  +", "0x00101001  0x002FF000  +", ErrMalformed},
		{ddrescue, "0x00101000  0x002FF000  +", "0x00100FFF  0x002FF000  +", ErrMalformed},
		{ddrescue, "0x00101000  0x002FF000  +", "0x00101000  0x002FF000  x", ErrMalformed},
		{ddrescue, "0x002FF000", "0x7FFFFFFFFFFFFFFF", ErrMalformed},
		{ddrescue, "0x002FF000", "0x8000000000000000", ErrMalformed},
		{ddrescue, "0x002FF000", "-0x002FF000", ErrMalformed},
		{ddrescue, "# Start time:", "# Start time: 1999\n# Start time:", ErrMalformed},
		{ddrescue, "#      pos", "0x00100C00 + 1\n#      pos", ErrMalformed},
	}
	for _, tt := range tests {
		data, err := os.ReadFile(filepath.Join("testdata", tt.file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Contains(data, []byte(tt.old)) {
			t.Errorf("%s: no %q", tt.file, tt.old)
		}
		got, err := Parse(strings.NewReader(strings.Replace(string(data), tt.old, tt.with, 1)))
		if !errors.Is(err, tt.wantErr) {
			t.Errorf("%s: %q for %q: %v, want %v", tt.file, tt.with, tt.old, err, tt.wantErr)
		}
		if diff := cmp.Diff(Log{}, got); diff != "" {
			t.Errorf("%s: %q for %q: %s", tt.file, tt.with, tt.old, diff)
		}
	}
}

func TestUnknown(t *testing.T) {
	for _, text := range []string{
		"", "\n\n", "\x00", "%PDF-1.7", "Total", "total (md5): " + srcMD5, "dc3dd", "ewfverify 20140813\n",
		"MD5 hash stored in file:\t\t" + srcMD5, " " + hashdeepMagic, "\xef\xbb\xbf" + hashdeepMagic,
	} {
		if log, err := Parse(strings.NewReader(text)); !errors.Is(err, ErrUnknownFormat) || log.Runs != nil {
			t.Errorf("%q: %v, want %v", text, err, ErrUnknownFormat)
		}
	}
	broken := errors.New("cable pulled")
	if _, err := Parse(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("%v, want %v", err, broken)
	}
	cut := io.MultiReader(strings.NewReader("Total (md5): "+srcMD5+"\n"), iotest.ErrReader(broken))
	if log, err := Parse(cut); !errors.Is(err, broken) || log.Runs != nil {
		t.Errorf("%v, want %v", err, broken)
	}
}
