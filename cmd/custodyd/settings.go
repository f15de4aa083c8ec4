package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/objectstore"
)

// settings are what an operator may choose: flags over environment
// (CUSTODYD_<FLAG>) over the lines "flag = value" of one file. Secrets come from
// the environment or from files only.
type settings struct {
	data       string
	listen     string
	origin     string
	adminKey   string
	admin      string
	adminName  string
	retainDays int

	ledgerRetainDays  int
	payloadRetainDays int
	publishWithin     time.Duration
	maxUnpublished    int64

	session    time.Duration
	drain      time.Duration
	workers    int
	tlsCert    string
	tlsKey     string
	logFormat  string
	logLevel   string
	signer     string
	signerWait time.Duration
	auditRate  int

	witnesses witnessing
	anchors   anchoring

	s3           objectstore.Config
	s3Lock       string
	s3Plain      bool
	s3SecretFile string
	s3Create     bool
	config       string
}

// secrets are never flags: a command line is everybody's to read.
const (
	envAccessKey = "CUSTODYD_S3_ACCESS_KEY"
	envSecretKey = "CUSTODYD_S3_SECRET_KEY" //nolint:gosec // a name, not a secret
)

// placeFlags are those every command needs.
func (s *settings) placeFlags(f *pflag.FlagSet) {
	f.StringVar(&s.data, "data", "", "directory of the ledger, the keys and, without S3, the objects (required)")
	f.StringVar(&s.config, "config", "", "file of lines \"flag = value\"")
}

// dataFlags are those of who opens keys and store.
func (s *settings) dataFlags(f *pflag.FlagSet) {
	s.placeFlags(f)
	f.StringVar(&s.logFormat, "log-format", "text", "text or json")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.IntVar(&s.workers, "workers", runtime.GOMAXPROCS(0), "cores to hash on")

	s.signerFlags(f)

	f.StringVar(&s.s3.Endpoint, "s3-endpoint", "", "host:port of an S3 store; without it objects go into a write-once directory under --data")
	f.StringVar(&s.s3.Bucket, "s3-bucket", "", "bucket with object lock, for evidence only")
	f.StringVar(&s.s3.Region, "s3-region", "", "region (us-east-1)")
	f.StringVar(&s.s3.CAFile, "s3-ca", "", "PEM file of the authority that signed the store's certificate")
	f.StringVar(&s.s3Lock, "s3-lock", string(objectstore.LockCompliance), "compliance or governance")
	f.StringVar(&s.s3SecretFile, "s3-secret-key-file", "", "file with the secret key, instead of "+envSecretKey)
	f.BoolVar(&s.s3Plain, "s3-plain-http", false, "speak to the store without TLS")
	f.BoolVar(&s.s3.AllowUnlocked, "allow-unlocked-store", false, "take a store that cannot lock; every entry will say so")
}

func (s *settings) serveFlags(f *pflag.FlagSet) {
	s.dataFlags(f)
	f.StringVar(&s.listen, "listen", "127.0.0.1:8420", "address to serve on; port 0 picks a free one")
	f.StringVar(&s.origin, "origin", "", "name of a new ledger, such as lab.example/custody (host name and a random part)")
	f.StringVar(&s.adminKey, "admin-key", "", "SSH public key of the first person of a new ledger; without it a key pair is made in --data")
	f.StringVar(&s.admin, "admin-principal", "admin", "principal of the first person: administrator, custodian and examiner")
	f.StringVar(&s.adminName, "admin-name", "", "name of the first person (the principal)")
	f.IntVar(&s.retainDays, "retain-days", 365, "days for which a case locks its objects unless it says otherwise")
	f.DurationVar(&s.session, "session", time.Hour, "how long a sign-in holds")
	f.DurationVar(&s.drain, "drain", 30*time.Second, "how long requests under way may take at shutdown")
	f.StringVar(&s.tlsCert, "tls-cert", "", "PEM certificate chain")
	f.StringVar(&s.tlsKey, "tls-key", "", "PEM private key")
	s.selfAuditFlags(f)
	s.publishFlags(f)
	s.witnessEveryFlags(f)
	s.anchorFlags(f)
	f.BoolVar(&s.s3Create, "s3-create-bucket", false, "make the bucket, with object lock, if it is not there")
}

// load fills in what no flag gave, and checks what can be checked without
// touching anything.
func (s *settings) load(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%q: no arguments are expected", args[0])
	}
	if err := fromEnvironment(cmd.Flags()); err != nil {
		return err
	}
	if s.config != "" {
		if err := fromFile(cmd.Flags(), s.config); err != nil {
			return err
		}
	}
	var faults []error
	if s.data == "" {
		faults = append(faults, errors.New("--data is missing: name the service's directory, new or existing"))
	}
	if cmd.Flags().Lookup("workers") != nil && (s.workers < 1 || s.workers > 1024) {
		faults = append(faults, fmt.Errorf("--workers %d: want 1 to 1024", s.workers))
	}
	if s.s3.Endpoint == "" && s.s3.Bucket != "" {
		faults = append(faults, errors.New("--s3-bucket without --s3-endpoint"))
	}
	if (s.tlsCert == "") != (s.tlsKey == "") {
		faults = append(faults, errors.New("--tls-cert and --tls-key go together"))
	}
	if cmd.Flags().Lookup("signer") != nil {
		faults = append(faults, s.checkSigner())
	}
	if cmd.Flags().Lookup("listen") != nil {
		faults = append(faults, s.checkServe())
	}
	if s.s3.Endpoint != "" {
		faults = append(faults, s.loadS3())
	}
	return errors.Join(faults...)
}

// checkServe checks what serve alone has flags for.
func (s *settings) checkServe() error {
	faults := []error{s.checkSelfAudit(), s.checkPublish()}
	if s.retainDays < 1 || s.retainDays > evidence.MaxRetainDays {
		faults = append(faults, fmt.Errorf("--retain-days %d: want 1 to %d", s.retainDays, evidence.MaxRetainDays))
	}
	if s.session <= 0 {
		faults = append(faults, fmt.Errorf("--session %s: want some time, such as 1h", s.session))
	}
	if s.drain <= 0 {
		faults = append(faults, fmt.Errorf("--drain %s: want some time, such as 30s", s.drain))
	}
	return errors.Join(faults...)
}

func (s *settings) loadS3() error {
	s.s3.Mode = objectstore.LockMode(s.s3Lock)
	s.s3.TLS = !s.s3Plain
	s.s3.AccessKey = os.Getenv(envAccessKey)
	s.s3.SecretKey = objectstore.Secret(os.Getenv(envSecretKey))
	if s.s3SecretFile != "" {
		secret, err := readLimited(s.s3SecretFile, 4096)
		if err != nil {
			return fmt.Errorf("--s3-secret-key-file: %w", err)
		}
		s.s3.SecretKey = objectstore.Secret(strings.TrimSpace(string(secret)))
	}
	if s.s3.AccessKey == "" || s.s3.SecretKey == "" {
		return fmt.Errorf("the store's keys are missing: set %s and %s", envAccessKey, envSecretKey)
	}
	return s.s3.Validate()
}

// repeats tells whether a flag may be given several times: as several lines of the file,
// in the environment with commas between.
func repeats(flags *pflag.FlagSet, name string) bool {
	_, ok := flags.Lookup(name).Value.(pflag.SliceValue)
	return ok
}

// environmentOf names the variable of a flag.
func environmentOf(flag string) string {
	return "CUSTODYD_" + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// fromEnvironment sets the flags that were not given. A variable of ours that
// means nothing is refused: it would be believed to work.
func fromEnvironment(flags *pflag.FlagSet) error {
	known := map[string]string{}
	flags.VisitAll(func(f *pflag.Flag) { known[environmentOf(f.Name)] = f.Name })
	all := allFlags()
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		flag, ok := known[name]
		switch {
		case !strings.HasPrefix(name, "CUSTODYD_") || name == envAccessKey || name == envSecretKey:
		case !ok && !all[name]:
			return fmt.Errorf("environment variable %s: no such setting", name)
		case ok && !flags.Changed(flag):
			values := []string{value}
			if repeats(flags, flag) {
				values = strings.Split(value, ",")
			}
			for _, v := range values {
				if err := flags.Set(flag, strings.TrimSpace(v)); err != nil {
					return fmt.Errorf("environment variable %s: %w", name, err)
				}
			}
		}
	}
	return nil
}

// allFlags are the variables of any command: one environment serves them all.
// The tests' and scripts' own are named here too.
func allFlags() map[string]bool {
	all := map[string]bool{"CUSTODYD_TOOLS": true, "CUSTODYD_VULNDB": true}
	flags := pflag.NewFlagSet("all", pflag.ContinueOnError)
	new(settings).serveFlags(flags)
	witnessing := pflag.NewFlagSet("witness", pflag.ContinueOnError)
	new(witnessSettings).flags(witnessing)
	flags.AddFlagSet(witnessing)
	signing := pflag.NewFlagSet("signer", pflag.ContinueOnError)
	new(signerSettings).flags(signing)
	flags.AddFlagSet(signing)
	flags.VisitAll(func(f *pflag.Flag) { all[environmentOf(f.Name)] = true })
	return all
}

// fromFile sets what neither flags nor environment gave.
func fromFile(flags *pflag.FlagSet, path string) error {
	text, err := readLimited(path, 64<<10)
	if err != nil {
		return fmt.Errorf("--config: %w", err)
	}
	all := allFlags()
	given := map[string]bool{} // by this file
	lines := bufio.NewScanner(strings.NewReader(string(text)))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "config" || !all[environmentOf(name)] {
			return fmt.Errorf("%s line %d: no such setting: %q", path, n, name)
		}
		switch {
		case flags.Lookup(name) == nil || flags.Changed(name) && !given[name]:
			continue
		case given[name] && !repeats(flags, name):
			return fmt.Errorf("%s line %d: %s is there twice", path, n, name)
		}
		given[name] = true
		if err := flags.Set(name, value); err != nil {
			return fmt.Errorf("%s line %d: %w", path, n, err)
		}
	}
	return lines.Err()
}

// readLimited reads a small file, whole.
func readLimited(path string, most int64) (data []byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	data, err = io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, fmt.Errorf("%s: is larger than %d bytes", path, most)
	}
	return data, err
}
