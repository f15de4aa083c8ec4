package operator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/custodyd/custodyd/internal/identity"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/verify"
)

// ErrNotSetUp: this machine is not bound to a server yet.
var ErrNotSetUp = errors.New("this machine is not set up")

// Binding is what binds a machine to a server.
type Binding struct {
	URL         string             `json:"server"`
	CAFile      string             `json:"ca_file,omitempty"` // certificates to trust instead of the system's
	Principal   identity.Principal `json:"principal"`
	KeyFile     string             `json:"key_file,omitempty"`
	AgentKey    identity.PublicKey `json:"agent_key,omitzero"` // instead of key_file: held by the ssh-agent
	Origin      ledger.Origin      `json:"origin"`
	VerifierKey ledger.VerifierKey `json:"verifier_key"` // pinned
}

// Place is the configuration directory.
type Place struct{ dir string }

// NewPlace gives the directory of that path, or the user's own for "".
func NewPlace(dir string) (Place, error) {
	if dir == "" {
		base, err := os.UserConfigDir()
		if err != nil {
			return Place{}, fmt.Errorf("find the configuration directory: %w", err)
		}
		dir = filepath.Join(base, "custody")
	}
	dir, err := filepath.Abs(dir)
	return Place{dir}, err
}

// Dir is the directory's path.
func (p Place) Dir() string { return p.dir }

func (p Place) path(elements ...string) string {
	return filepath.Join(append([]string{p.dir}, elements...)...)
}

// fileName gives the form of an origin in file names.
func fileName(o ledger.Origin) string { return strings.ReplaceAll(string(o), "/", "+") }

// Binding reads server.json. The error is ErrNotSetUp when there is none.
func (p Place) Binding() (Binding, error) {
	var b Binding
	err := p.readJSON("server.json", &b)
	if errors.Is(err, fs.ErrNotExist) {
		return Binding{}, ErrNotSetUp
	}
	if err == nil && b.Origin != b.VerifierKey.Origin() {
		err = fmt.Errorf("server.json: the key of %s is pinned for %s", b.VerifierKey.Origin(), b.Origin)
	}
	if err != nil {
		return Binding{}, err
	}
	return b, nil
}

// Policy reads the pinned policy of a ledger; fs.ErrNotExist when there is none.
func (p Place) Policy(origin ledger.Origin) (verify.Policy, error) {
	text, err := os.ReadFile(p.path(verify.FileName(origin)))
	if err != nil {
		return verify.Policy{}, err
	}
	policy, err := verify.ParsePolicy(text)
	if err == nil && policy.Origin() != origin {
		err = fmt.Errorf("it is of %s", policy.Origin())
	}
	if err != nil {
		return verify.Policy{}, fmt.Errorf("%s: %w", p.path(verify.FileName(origin)), err)
	}
	return policy, nil
}

func (p Place) readJSON(name string, into any) error {
	text, err := os.ReadFile(p.path(name))
	if err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("%s: %w", p.path(name), err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: there is more behind its end", p.path(name))
	}
	return nil
}

func (p Place) writeJSON(name string, value any) error {
	text, err := json.MarshalIndent(value, "", "  ")
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return p.write(append(text, '\n'), name)
}

// write replaces a file durably: what is there afterwards is the old or the new
// content, also after a power cut.
func (p Place) write(content []byte, elements ...string) error {
	path := p.path(elements...)
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, ".new-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return syncDir(dir)
}

// syncDir makes a directory's names durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
