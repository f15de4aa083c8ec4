package database

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/jmoiron/sqlx"
	"github.com/mattn/go-sqlite3"
	"github.com/pressly/goose/v3"

	"github.com/custodyd/custodyd/schema"
)

// applicationID marks our files in SQLite's header: "CUST".
const applicationID = 0x43555354

// mode is what a pool of connections is for.
type mode struct {
	connections int
	pragmas     string
}

var (
	writing = mode{1, "&_txlock=immediate&_cache_size=-16384&_secure_delete=on"}
	reading = mode{8, "&_query_only=on"}
	apart   = mode{1, reading.pragmas}
)

// common stands in the name of the database because a pool opens connections when
// it likes. Statements are prepared once for each connection and kept by the driver.
const common = "?mode=rw&_journal_mode=WAL&_synchronous=FULL&_foreign_keys=on&_busy_timeout=" + busyTimeout +
	"&_recursive_triggers=on&_stmt_cache_size=64"

// busyTimeout is how long a statement waits for another connection, in milliseconds.
const busyTimeout = "5000"

// connect gives a pool of connections to a file, or to a new database in memory
// when the path is empty. It never makes a file.
func connect(path string, m mode) *sqlx.DB {
	name := (&url.URL{Path: path}).EscapedPath() + common + m.pragmas
	if path == "" {
		name = ":memory:" + strings.Replace(common, "mode=rw", "mode=memory", 1) + m.pragmas
	}
	pool := sqlx.NewDb(sql.OpenDB(connector("file:"+name)), "sqlite3")
	pool.SetMaxOpenConns(m.connections)
	pool.SetMaxIdleConns(m.connections)
	return pool
}

// connector opens connections by name.
type connector string

// Connect implements [driver.Connector].
func (c connector) Connect(context.Context) (driver.Conn, error) { return c.Driver().Open(string(c)) }

// Driver implements [driver.Connector].
func (connector) Driver() driver.Driver {
	return &sqlite3.SQLiteDriver{ConnectHook: func(conn *sqlite3.SQLiteConn) error {
		_, err := conn.Exec("PRAGMA wal_autocheckpoint = 4096; PRAGMA journal_size_limit = 16777216", nil)
		return err
	}}
}

// checkHeader refuses a file that is not ours before SQLite can touch it.
func checkHeader(path string) (err error) {
	f, err := os.Open(path) //nolint:gosec // the operator names the file
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %s is not a regular file", ErrFormat, path)
	}
	// The header's layout: https://www.sqlite.org/fileformat2.html, 1.3.
	var header [100]byte
	switch _, err := io.ReadFull(f, header[:]); {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w: %s is too short", ErrFormat, path)
	case err != nil:
		return err
	}
	if !strings.HasPrefix(string(header[:]), "SQLite format 3\x00") || binary.BigEndian.Uint32(header[68:]) != applicationID {
		return fmt.Errorf("%w: %s", ErrFormat, path)
	}
	return nil
}

// checkPages has SQLite look for damage.
func checkPages(ctx context.Context, db *sqlx.DB) error {
	found, err := pragma(ctx, db, "PRAGMA quick_check(10)")
	if err == nil && len(found) > 0 {
		err = errors.New(strings.Join(found, "; "))
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil
}

// pragma runs one of SQLite's checks, and gives what it found.
func pragma(ctx context.Context, db *sqlx.DB, text string) ([]string, error) {
	var found []string
	if err := db.SelectContext(ctx, &found, text); err != nil {
		return nil, err
	}
	if slices.Equal(found, []string{"ok"}) {
		return nil, nil
	}
	return found, nil
}

// versions gives the version of the file and of this program.
func versions(ctx context.Context, db *sqlx.DB) (current, target int64, err error) {
	provider, err := migrations(db)
	if err != nil {
		return 0, 0, err
	}
	if current, target, err = provider.GetVersions(ctx); err != nil {
		return 0, 0, err
	}
	if current > target {
		return 0, 0, fmt.Errorf("%w: version %d, known are versions up to %d", ErrNewer, current, target)
	}
	return current, target, nil
}

func migrations(db *sqlx.DB) (*goose.Provider, error) {
	return goose.NewProvider(goose.DialectSQLite3, db.DB, schema.Migrations,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
}

// secured is the version from which on what is replaced is overwritten in its page.
const secured = 7

// migrate brings the tables to this program's version. A file from before secured is
// written anew first: what had been replaced in it could still be read there. (Behind the
// migration, a start that was cut short between them would leave it so for ever.)
func migrate(ctx context.Context, db *sqlx.DB) error {
	current, target, err := versions(ctx, db)
	if err != nil {
		return err
	}
	provider, err := migrations(db)
	if err != nil {
		return err
	}
	if current > 0 && current < secured {
		if _, err := db.ExecContext(ctx, "VACUUM"); err != nil {
			return fmt.Errorf("write anew what was version %d: %w", current, err)
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from version %d to %d: %w", current, target, err)
	}
	return nil
}

// checkSchema compares tables, indexes and triggers with those that the migrations
// make of nothing.
func checkSchema(ctx context.Context, db *sqlx.DB) error {
	want, err := made()
	if err != nil {
		return err
	}
	got, err := objects(ctx, db)
	if err != nil {
		return err
	}
	var wrong []string
	for name, text := range want {
		if got[name] != text {
			wrong = append(wrong, name)
		}
		delete(got, name)
	}
	for name := range got {
		wrong = append(wrong, name)
	}
	if len(wrong) > 0 {
		slices.Sort(wrong)
		return fmt.Errorf("%w: not as it was made: %s", ErrDamaged, strings.Join(wrong, ", "))
	}
	return nil
}

// made gives the SQL of everything that the migrations make of nothing, by name. It is
// the same for every file, so it is made once.
var made = sync.OnceValues(func() (_ map[string]string, err error) {
	ctx := context.Background()
	fresh := connect("", writing)
	defer func() { err = errors.Join(err, fresh.Close()) }()
	if err := migrate(ctx, fresh); err != nil {
		return nil, err
	}
	return objects(ctx, fresh)
})

// objects gives the SQL of everything that was created, by name.
func objects(ctx context.Context, db *sqlx.DB) (map[string]string, error) {
	var rows []struct{ Name, Text string }
	if err := db.SelectContext(ctx, &rows, "SELECT name, COALESCE(sql, '') AS text FROM sqlite_schema"); err != nil {
		return nil, err
	}
	texts := make(map[string]string, len(rows))
	for _, r := range rows {
		texts[r.Name] = r.Text
	}
	return texts, nil
}

// takeLock makes this process the one that may open the database. giveLock, or the end of
// the process, gives the lock back.
func takeLock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // the operator names the file
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = ErrLocked
	}
	if err != nil {
		return nil, errors.Join(&fs.PathError{Op: "lock", Path: f.Name(), Err: err}, f.Close())
	}
	return f, nil
}

// giveLock gives the lock back before the file is closed: a program that this process is
// starting has the file open too, until it executes.
func giveLock(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}

func syncDirectory(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
