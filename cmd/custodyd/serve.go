package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"github.com/custodyd/custodyd/internal/authority"
	"github.com/custodyd/custodyd/internal/custody"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/server"
)

func newServe() *cobra.Command {
	s := &settings{}
	cmd := &cobra.Command{
		Use:   "serve --data DIR",
		Short: "Serve, making what is needed in a new directory",
		Long: "Serves the API. With nothing but a new directory it makes a ledger, its keys and a\n" +
			"write-once directory for the objects, and tells how to enrol the first person.\n\n" +
			"Every flag can be given as CUSTODYD_<FLAG>, several values with commas between, or as lines\n" +
			"\"flag = value\" of --config. The keys of an S3 store come from " + envAccessKey + " and " + envSecretKey + ".\n" + exitCodes,
		Example: "  custodyd serve --data /var/lib/custodyd --admin-key ~/.ssh/id_ed25519.pub --admin-principal examiner1\n" +
			"  custodyd serve --data /var/lib/custodyd --s3-endpoint s3.lab.example:9000 --s3-bucket evidence",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := s.load(cmd, args); err != nil {
				return err
			}
			return s.serve(cmd.Context(), cmd.OutOrStdout())
		},
	}
	s.serveFlags(cmd.Flags())
	return cmd
}

func (s *settings) serve(ctx context.Context, out io.Writer) (err error) {
	log, err := newLogger(s.logFormat, s.logLevel)
	if err != nil {
		return err
	}
	admin, err := s.administrator()
	if err != nil {
		return err
	}
	authorities, err := s.anchors.authorities()
	if err != nil {
		return err
	}
	witnesses, err := s.witnesses.endpoints()
	if err != nil {
		return err
	}
	// First: what cannot be reached leaves nothing behind, and notes no start.
	listener, err := s.bind(ctx, log)
	if err != nil {
		return err
	}
	defer func() {
		if e := listener.Close(); !errors.Is(e, net.ErrClosed) {
			err = errors.Join(err, e)
		}
	}()
	data, err := openOrCreate(ctx, s)
	if err != nil {
		if next := lostLedger(s.data, err); next != "" {
			err = fmt.Errorf("%w\n%s", err, next)
		}
		return err
	}
	defer func() { err = errors.Join(err, data.close()) }()
	if admin.Key.IsZero() {
		if admin.Key, err = readPublicKey(filepath.Join(s.data, adminFile+".pub")); err != nil && data.fresh {
			return err
		}
	}
	objects, err := openStore(ctx, s)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, objects.Close()) }()

	service, err := custody.Open(ctx, custody.Config{
		Database: data.db, Objects: objects, Ledger: data.signer, Key: data.service, Version: programVersion(),
		Now: time.Now, Random: rand.Reader, Logger: log, Administrator: &admin,
		RetainDays: s.retainDays, Session: s.session, Workers: s.workers, AuditRate: s.auditRate,
		Authorities: authorities, AnchorEvery: s.anchors.every,
		Witnesses: witnesses, WitnessEvery: s.witnesses.every, ExportWait: s.witnesses.exportWait,
		LedgerRetainDays: s.ledgerRetainDays, PayloadRetainDays: s.payloadRetainDays, PublishWithin: s.publishWithin, MaxUnpublished: s.maxUnpublished,
	})
	if err != nil {
		return keepNotes(s.data, err)
	}
	defer func() {
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.drain)
		defer cancel()
		err = errors.Join(err, service.Close(last))
	}()
	s.greet(out, s.scheme()+"://"+listener.Addr().String(), service.About(), data, authorities)
	return s.answer(ctx, log, listener, service)
}

func (s *settings) scheme() string {
	if s.tlsCert != "" {
		return "https"
	}
	return "http"
}

// bind takes the address to serve on.
func (s *settings) bind(ctx context.Context, log *slog.Logger) (net.Listener, error) {
	var certificates []tls.Certificate
	if s.tlsCert != "" {
		cert, err := tls.LoadX509KeyPair(s.tlsCert, s.tlsKey)
		if err != nil {
			return nil, fmt.Errorf("--tls-cert: %w", err)
		}
		certificates = append(certificates, cert)
	}
	var listen net.ListenConfig
	listener, err := listen.Listen(ctx, "tcp", s.listen)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	if certificates != nil {
		return tls.NewListener(listener, &tls.Config{
			Certificates: certificates, MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
		}), nil
	}
	if at, ok := listener.Addr().(*net.TCPAddr); ok && !at.IP.IsLoopback() {
		log.Warn("without TLS everybody on the way can read what is sent and use its tokens: give --tls-cert and --tls-key", "listen", at.String())
	}
	return listener, nil
}

// answer serves until ctx ends or the ledger stops.
func (s *settings) answer(ctx context.Context, log *slog.Logger, listener net.Listener, service *custody.Service) error {
	handler, err := server.New(server.Config{
		Custody: service, Logger: log, Metrics: prometheus.NewRegistry(), Version: programVersion(),
	})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() { // the notes of an alarm are evidence; reading goes on
		select {
		case <-service.Alarmed():
			log.Error("ALARM", "cause", keepNotes(s.data, service.Alarm()))
		case <-ctx.Done():
		}
	}()
	go func() { // a ledger that stopped is not served
		select {
		case <-service.Stopped():
			stop()
		case <-ctx.Done():
		}
	}()
	defer context.AfterFunc(ctx, service.Leave)()
	err = server.Serve(ctx, listener, handler, s.drain)
	return errors.Join(err, service.Cause())
}

// greet tells the operator where the service is, who else is asked, and what comes next.
// Scripts read its lines: the first ones stay as they are.
func (s *settings) greet(out io.Writer, url string, about custody.About, data *dataDir, authorities []*authority.Authority) {
	var hint string
	key := strings.TrimSuffix(s.adminKey, ".pub")
	if key == "" {
		key = filepath.Join(s.data, adminFile)
	}
	if data.fresh {
		hint = fmt.Sprintf("\nA new ledger. Its first person is %s; on the machine with the key:\n\n"+
			"  custody-cli setup --server %s --principal %s --key %s --verifier-key '%s'\n\n"+
			"Keep the verifier key where nobody of this service can change it: it is what a court checks against.\n",
			s.admin, url, s.admin, key, about.VerifierKey)
	}
	lock := string(about.Store.Lock)
	for _, m := range about.Store.Missing {
		lock += "\n  missing   " + m
	}
	_, _ = fmt.Fprintf(out, "custodyd %s\n  address   %s\n  origin    %s\n  verifier  %s\n  store     %s %s, lock: %s\n%s%s",
		about.Version, url, about.Origin, about.VerifierKey, about.Store.Kind, about.Store.Bucket, lock,
		s.asked(about, data, authorities), hint)
}

// asked tells who signs, cosigns and stamps for the service, and whether they answered.
func (s *settings) asked(about custody.About, data *dataDir, authorities []*authority.Authority) string {
	var text strings.Builder
	signer := "in this process"
	if s.signer != "" {
		signer = s.signer
	}
	fmt.Fprintf(&text, "  signer    %s: has signed %d entries\n", signer, data.signer.Last().Size)
	for _, w := range about.Witnesses {
		said := fmt.Sprintf("%s, has cosigned %d entries", w.State, w.Cosigned)
		if w.Problem != "" {
			said += "; " + w.Problem
		}
		fmt.Fprintf(&text, "  witness   %s: %s\n", w.Name, said)
	}
	for _, a := range authorities {
		fmt.Fprintf(&text, "  authority %s at %s: asked with the next export, or within %s of an entry\n", a.Name(), a.Host(), s.anchors.every)
	}
	return text.String()
}

// administrator is the first person of a new ledger.
func (s *settings) administrator() (evidence.PersonEnrolled, error) {
	principal, err := identity.ParsePrincipal(s.admin)
	if err != nil {
		return evidence.PersonEnrolled{}, fmt.Errorf("--admin-principal: %w", err)
	}
	p := evidence.PersonEnrolled{
		Principal: principal, Name: s.adminName,
		Roles: identity.Roles{identity.RoleAdministrator, identity.RoleCustodian, identity.RoleExaminer},
	}
	if p.Name == "" {
		p.Name = s.admin
	}
	if s.adminKey != "" {
		if p.Key, err = readPublicKey(s.adminKey); err != nil {
			return evidence.PersonEnrolled{}, fmt.Errorf("--admin-key: %w", err)
		}
	}
	return p, nil
}

func readPublicKey(path string) (identity.PublicKey, error) {
	line, err := readLimited(path, 64<<10)
	if err != nil {
		return identity.PublicKey{}, err
	}
	key, _, err := identity.ParsePublicKey(string(line))
	if err != nil {
		return identity.PublicKey{}, fmt.Errorf("%s: %w", path, err)
	}
	return key, nil
}
