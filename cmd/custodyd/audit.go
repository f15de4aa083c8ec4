package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/database"
	"github.com/custodyd/custodyd/internal/objectstore"
	"github.com/custodyd/custodyd/internal/verify"
)

func newAudit() *cobra.Command {
	s := &settings{}
	var asJSON, contents bool
	cmd := &cobra.Command{
		Use:   "audit --data DIR",
		Short: "Hold everything that is kept against the ledger, and list what does not agree",
		Long: "Looks at a service that is not running: every entry, signature, tree hash and checkpoint of\n" +
			"its ledger, every row against the entries and back, every object against the entries and\n" +
			"back. With --contents it also reads and hashes every object. It changes nothing.\n\n" +
			"What it found is printed even if it could not look at everything; with findings the exit\n" +
			"code is 1, without 2.\n" + exitCodes,
		Example: "  custodyd audit --data /var/lib/custodyd --contents",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.load(cmd, args); err != nil {
				return err
			}
			report, err := s.audit(cmd.Context(), contents, progressOn(os.Stderr))
			if err != nil && report.Incomplete == "" { // it never began
				return running(err)
			}
			findings := printAudit(cmd.OutOrStdout(), report, asJSON)
			return errors.Join(findings, err)
		},
	}
	s.dataFlags(cmd.Flags())
	cmd.Flags().BoolVar(&contents, "contents", false, "read and hash every object too")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	return cmd
}

// codeDataDamaged: a file of the data directory, beside the ledger and the objects, is
// not as it was made.
const codeDataDamaged verify.Code = "data-damaged"

// audit opens what the service keeps, and audits it.
func (s *settings) audit(ctx context.Context, contents bool, progress *progress) (r custody.AuditReport, err error) {
	data, err := openExisting(ctx, s)
	if damage, ok := custody.AuditDamage(err); ok {
		return damage, nil
	}
	if err != nil {
		return custody.AuditReport{}, err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	cfg := custody.AuditConfig{
		Database: data.db, Key: data.signer.Key(), Signed: data.signer.Last(),
		Workers: s.workers, Contents: contents, Progress: progress.show,
	}
	objects, err := openStoreAsIs(ctx, s)
	if err != nil {
		cfg.StoreErr = err
	} else {
		cfg.Objects = objects
		defer func() { err = errors.Join(err, objects.Close()) }()
	}
	defer progress.clear()
	r, err = custody.Audit(ctx, cfg)
	if data.damage != "" {
		r.Findings = append(r.Findings, verify.Finding{Code: codeDataDamaged, Subject: "file " + markerFile, Detail: data.damage})
	}
	return r, err
}

// running says what to do about files that another process holds.
func running(err error) error {
	if errors.Is(err, database.ErrLocked) || errors.Is(err, objectstore.ErrInUse) || errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("the service is running; stop it, the audit needs its files to itself: %w", err)
	}
	return err
}

// printAudit writes the report. Findings are an errFindings.
func printAudit(out io.Writer, r custody.AuditReport, asJSON bool) error {
	if asJSON {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		if err := e.Encode(r); err != nil {
			return err
		}
	} else if err := printAuditText(out, r); err != nil {
		return err
	}
	if n := len(r.Findings); n > 0 {
		return fmt.Errorf("%w: %d", errFindings, n)
	}
	return nil
}

func printAuditText(out io.Writer, r custody.AuditReport) error {
	p := printer{out: out}
	for _, f := range r.Findings {
		p.line("WRONG  %s", f)
	}
	for _, i := range r.Pending {
		p.line("under way  %s/%s: %q, %d bytes, declared by %s on %s, %d objects in the store", i.Case, i.Exhibit, i.Title, i.Size, i.By, i.Declared, i.Objects)
	}
	for _, note := range r.Notes {
		p.line("note  %s", note)
	}
	if r.Origin != "" { // else the ledger could not be opened
		read := "their bytes were not read"
		if r.Contents {
			read = "those of copies read and hashed"
		}
		p.line("%s: %d entries, %d of them under a signed checkpoint, root %s", r.Origin, r.Entries, r.Signed, r.Root)
		p.line("%d checkpoints, %d rows, %d objects (%s)", r.Checkpoints, r.Rows, r.Objects, read)
	}
	if r.Incomplete != "" {
		p.line("not everything was looked at: %s", r.Incomplete)
	}
	p.line("findings: %d", len(r.Findings))
	return p.err
}

// printer writes lines until one cannot be written.
type printer struct {
	out io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.out, format+"\n", args...)
	}
}

// progress is one line that tells how far the audit is, on a terminal only.
type progress struct {
	out io.Writer // nil: nobody looks

	mu   sync.Mutex
	next time.Time // when to tell again
}

func progressOn(f *os.File) *progress {
	if !term.IsTerminal(int(f.Fd())) {
		return &progress{}
	}
	return &progress{out: f}
}

const clearLine = "\r\x1b[K"

func (p *progress) show(stage custody.AuditStage, done, total int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); p.out != nil && now.After(p.next) {
		p.next = now.Add(200 * time.Millisecond)
		_, _ = fmt.Fprintf(p.out, "%s%s: %d of %d", clearLine, stage, done, total)
	}
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.out != nil {
		_, _ = fmt.Fprint(p.out, clearLine)
	}
}
