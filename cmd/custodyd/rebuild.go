package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/ledger"
)

func newRebuild() *cobra.Command {
	s := &settings{}
	var asJSON, fromStore, signatures bool
	cmd := &cobra.Command{
		Use:   "rebuild --from-store --data DIR",
		Short: "Make a lost ledger again, from the object store and the keys alone",
		Long: "Makes the ledger and all that is derived from it again, from the segments that the service\n" +
			"published into its object store. DIR holds the keys and nothing else of the old one:\n\n" +
			"  " + keyFile + "             or --signer, where custodyd signer has it\n" +
			"  " + serviceFile + "            of the service, the private one\n" +
			"  " + objectsPath + "                the whole directory, unless the objects are in S3\n\n" +
			"Every envelope, both chains, the tree under every signed checkpoint, each payload and signature\n" +
			"against its hash, and the law of custody are checked; the signatures of persons with\n" +
			"--signatures. If anything is missing or different, it says what, and nothing is made.\n\n" +
			"Entries, payloads, signatures, the tree, and cases, exhibits, copies and people are then identical.\n" +
			"Of the checkpoints those come back that the store holds: one for each segment, and those that\n" +
			"were kept with signatures of witnesses or with time stamps. The others are not in it.\n\n" +
			"What was acknowledged after the newest segment was published is lost (see --max-unpublished);\n" +
			"receipts name it. If a custodyd signer has signed such entries, it takes no others in their place:\n" +
			"the ledger is made for audit and backup to read, is never served again, and the exit code is 1.\n" +
			"Begin a new ledger then, with its own signer, --origin, directory and bucket.\n\n" +
			"The files of a directory of objects that was copied lack the immutable attribute. It is told how\n" +
			"many; give it again as root (chattr +i DIR/" + objectsPath + "/objects/*), or every audit finds them.\n" +
			"Uploads that were under way begin again. People sign in again.\n" + exitCodes,
		Example: "  custodyd rebuild --from-store --data /var/lib/custodyd-new --s3-endpoint s3.lab.example:9000 --s3-bucket evidence",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.load(cmd, args); err != nil {
				return err
			}
			if !fromStore {
				return errors.New("give --from-store: there is nothing else to rebuild a ledger from")
			}
			defer debug.SetGCPercent(debug.SetGCPercent(200)) // the state only grows: collecting half as often pays
			p := progressOn(os.Stderr)
			report, err := s.rebuild(cmd.Context(), signatures, p)
			p.clear()
			if err != nil {
				return running(err)
			}
			return printRebuilt(cmd.OutOrStdout(), s.data, report, asJSON)
		},
	}
	s.dataFlags(cmd.Flags())
	cmd.Flags().BoolVar(&fromStore, "from-store", false, "rebuild from the object store (required)")
	cmd.Flags().BoolVar(&signatures, "signatures", false, "verify the signature of every entry too (custodyd audit does it afterwards)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// stageRebuilt is what the progress of a rebuild is counted in.
const stageRebuilt custody.AuditStage = "entries"

// rebuild makes a data directory of keys and a store. The marker comes last: without it
// nothing is served.
func (s *settings) rebuild(ctx context.Context, signatures bool, progress *progress) (r custody.RebuildReport, err error) {
	if err := s.onlyKeys(); err != nil {
		return r, err
	}
	key, signed, skey, err := s.ledgerKey(ctx)
	if err != nil {
		return r, err
	}
	service, err := s.serviceKey()
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: bring the key of the service, without which nothing is served", err)
	}
	if err != nil {
		return r, err
	}
	objects, err := openStoreAsIs(ctx, s)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, objects.Close()) }()
	path := filepath.Join(s.data, dbFile)
	r, err = custody.Rebuild(ctx, custody.RebuildConfig{
		Objects: objects, Key: key, Signed: signed, Service: service.PublicKey(), Signatures: signatures, Workers: s.workers,
		Progress: func(done, total int64) { progress.show(stageRebuilt, done, total) },
		Build: func(ctx context.Context, fill func(*database.Bulk) error) error {
			return database.Build(ctx, path, database.Meta{Origin: string(key.Origin()), VerifierKey: key.String()}, fill)
		},
	})
	if err != nil {
		return r, err
	}
	if skey != "" {
		signer, err := ledger.RestoreSigner(filepath.Join(s.data, stateFile), skey, r.Checkpoint)
		if err != nil {
			return r, err
		}
		if err := signer.Close(); err != nil {
			return r, err
		}
	}
	return r, writeNew(filepath.Join(s.data, markerFile), []byte(markerText(s)), 0o600)
}

// onlyKeys demands that nothing of a ledger is in the directory: not one that lives, and
// not what a rebuild left that was interrupted after the database was whole.
func (s *settings) onlyKeys() error {
	entries, err := os.ReadDir(s.data)
	if err != nil {
		return fmt.Errorf("%w: make the directory with the keys of the ledger in it", err)
	}
	var over []string
	for _, e := range entries {
		if name := e.Name(); name == markerFile || name == stateFile || name == dbFile || strings.HasPrefix(name, dbFile+"-") {
			over = append(over, name)
		}
	}
	if slices.Contains(over, markerFile) {
		return fmt.Errorf("%s holds a ledger already: name another directory, with its keys", s.data)
	}
	if len(over) > 0 {
		return fmt.Errorf("%s holds %s of a ledger that was not finished, or of one whose %s is lost: move them away and run this again",
			s.data, strings.Join(over, ", "), markerFile)
	}
	return nil
}

// ledgerKey gives the ledger's key, with the secret where it lies in the directory, and
// with what was signed last where a separate signer has it.
func (s *settings) ledgerKey(ctx context.Context) (key ledger.VerifierKey, signed ledger.Checkpoint, skey string, err error) {
	if s.signer != "" {
		client, err := s.dialSigner(ctx)
		if err != nil {
			return key, signed, "", err
		}
		return client.Key(), client.Last(), "", client.Close()
	}
	skey, key, err = readLedgerKey(s.data)
	if errors.Is(err, fs.ErrNotExist) {
		err = fmt.Errorf("%w: bring the key of the ledger, or name custodyd signer with --signer", err)
	}
	return key, signed, skey, err
}

func printRebuilt(out io.Writer, dir string, r custody.RebuildReport, asJSON bool) error {
	var lost error
	if r.Lost > 0 {
		lost = errFindings
	}
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return errors.Join(lost, e.Encode(r))
	}
	p := printer{out: out}
	for _, note := range r.Notes {
		p.line("note  %s", note)
	}
	if r.Unlocked > 0 {
		p.line("note  %d objects of the ledger have lost the lock that they were put with; audit names them, and any of the evidence: see help rebuild", r.Unlocked)
	}
	p.line("%s: %d entries in %d segments, root %s", r.Origin, r.Entries, r.Segments, r.Root)
	p.line("%d checkpoints with signatures of witnesses, %d rounds of time stamps, %d erased payloads that stay erased", r.Witnessed, r.Anchored, r.Erased)
	if r.Signatures {
		p.line("checked: envelopes, chains, tree, checkpoints, hashes, the law, and every signature that can be")
	} else {
		p.line("checked: envelopes, chains, tree, checkpoints, hashes, the law; not the signatures of persons (custodyd audit does)")
	}
	if r.Lost == 0 {
		p.line("rebuilt in %s; if anything was acknowledged after entry %d, it had not been published and is lost", dir, r.Entries-1)
		return p.err
	}
	p.line("rebuilt in %s, to be read and not to be served:", dir)
	p.line("WRONG  entries %d to %d were signed and never published: they are lost, and acknowledged to whoever has a receipt of them", r.Entries, r.Entries+r.Lost-1)
	p.line("       the signer takes no others in their place, and is right: whoever has such a receipt would hold proof of two histories")
	p.line("       read this ledger with custodyd audit, copy it with custodyd backup; its objects stay where they are")
	p.line("       go on in a new one: custodyd signer with a new --state and --origin, custodyd serve with a new --data and bucket")
	return errors.Join(lost, p.err)
}
