package operator

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/custodyd/custodyd/internal/digest"
	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/ledger"
	"github.com/custodyd/custodyd/internal/source"
)

// Intake is an intake of this machine that is not sealed yet, as it is kept.
type Intake struct {
	ID       uuid.UUID          `json:"intake"`
	Server   string             `json:"server"`
	Origin   ledger.Origin      `json:"origin"`
	Path     string             `json:"exhibit"` // CASE/EXHIBIT
	Source   source.Set         `json:"source"`
	Algs     []digest.Algorithm `json:"algorithms"` // beside SHA-256
	Log      string             `json:"log,omitempty"`
	LogSum   digest.SHA256      `json:"log_sha256,omitzero"`
	Declared Signed             `json:"declared"` // signed before it is written here, sent after
}

// OpenIntake is an intake that somebody works on, with its marks.
type OpenIntake struct {
	Intake
	Marks []source.Mark

	place  Place
	file   *os.File // of the marks, appended to
	synced time.Time
	now    func() time.Time
}

// syncEvery is how often marks are made durable. What a power cut takes is hashed again.
const syncEvery = 3 * time.Second

// KeepIntake writes a new intake down.
func (o *Operator) KeepIntake(i Intake) (*OpenIntake, error) {
	i.Server, i.Origin = o.URL, o.Origin
	if err := o.Place.writeJSON(intakeName(i.ID), i); err != nil {
		return nil, err
	}
	return o.openMarks(i)
}

// Unfinished lists the intakes of this machine at this server.
func (o *Operator) Unfinished() ([]Intake, error) {
	names, err := filepath.Glob(o.Place.path("intakes", "*.json"))
	if err != nil {
		return nil, err
	}
	var list []Intake
	for _, name := range names {
		var i Intake
		if err := o.Place.readJSON(filepath.Join("intakes", filepath.Base(name)), &i); err != nil {
			return nil, err
		}
		if i.Origin == o.Origin {
			list = append(list, i)
		}
	}
	return list, nil
}

// FindIntake finds the unfinished intake of a source for an exhibit.
func (o *Operator) FindIntake(exhibit evidence.Path, s source.Set) (Intake, bool, error) {
	list, err := o.Unfinished()
	if err != nil {
		return Intake{}, false, err
	}
	for _, i := range list {
		if i.Path == exhibit.String() && i.Source.Named == s.Named && i.Source.Listed == s.Listed {
			return i, true, nil
		}
	}
	return Intake{}, false, nil
}

// Resume opens an intake that was kept, with the marks that are whole.
func (o *Operator) Resume(i Intake) (*OpenIntake, error) { return o.openMarks(i) }

func intakeName(id uuid.UUID) string { return filepath.Join("intakes", id.String()+".json") }

func (o *Operator) openMarks(i Intake) (*OpenIntake, error) {
	path := o.Place.path("intakes", i.ID.String()+".marks")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	open := &OpenIntake{Intake: i, place: o.Place, file: f, now: o.Now, synced: o.Now()}
	whole, err := open.read()
	if err == nil {
		// What a crash left half-written would make the next line unreadable.
		err = f.Truncate(whole)
	}
	if err == nil {
		_, err = f.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", path, err), f.Close())
	}
	return open, nil
}

// read reads the marks up to the first line that is none, and tells its place.
func (i *OpenIntake) read() (int64, error) {
	var at int64
	r := bufio.NewReaderSize(i.file, 1<<20)
	for {
		line, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return at, nil
		}
		if err != nil {
			return 0, err
		}
		var m source.Mark
		d := json.NewDecoder(bytes.NewReader(line))
		d.DisallowUnknownFields()
		if d.Decode(&m) != nil {
			return at, nil
		}
		i.Marks = append(i.Marks, m)
		at += int64(len(line))
	}
}

// Note keeps a mark.
func (i *OpenIntake) Note(m source.Mark) error {
	line, err := json.Marshal(m)
	if err != nil {
		return err
	}
	if _, err := i.file.Write(append(line, '\n')); err != nil {
		return err
	}
	if now := i.now(); now.Sub(i.synced) >= syncEvery {
		i.synced = now
		return i.file.Sync()
	}
	return nil
}

// Rewrite replaces what is kept beside the marks.
func (i *OpenIntake) Rewrite(kept Intake) error {
	if err := i.place.writeJSON(intakeName(kept.ID), kept); err != nil {
		return err
	}
	i.Intake = kept
	return nil
}

// Close keeps the intake for later.
func (i *OpenIntake) Close() error {
	return errors.Join(i.file.Sync(), i.file.Close())
}

// Done forgets the intake: it stands in the ledger.
func (i *OpenIntake) Done() error {
	err := i.file.Close()
	for _, suffix := range []string{".json", ".marks"} {
		name := i.place.path(strings.TrimSuffix(intakeName(i.ID), ".json") + suffix)
		if e := os.Remove(name); !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}
	return err
}
