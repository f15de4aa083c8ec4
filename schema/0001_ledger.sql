-- The ledger: the system of record. Everything else can be rebuilt from it.

-- +goose Up

CREATE TABLE meta (
    key   TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
) STRICT;

-- leaf is the envelope's leaf hash: the name by which actors say what they had seen.
-- It is looked up in the chain of its case, newest first, in the index at the end:
-- an index by leaf alone would cost each entry a page, as hashes come in no order.
CREATE TABLE entries (
    seq       INTEGER NOT NULL PRIMARY KEY CHECK (seq >= 0),
    case_id   BLOB    NOT NULL CHECK (length(case_id) = 16),
    case_seq  INTEGER NOT NULL CHECK (case_seq >= 0),
    event_id  BLOB    NOT NULL UNIQUE CHECK (length(event_id) = 16),
    leaf      BLOB    NOT NULL CHECK (length(leaf) = 32),
    envelope  BLOB    NOT NULL CHECK (length(envelope) > 0),
    payload   BLOB    NOT NULL CHECK (length(payload) > 0),
    signature BLOB    NOT NULL CHECK (length(signature) > 0),
    UNIQUE (case_id, case_seq, leaf)
) STRICT;

-- The stored hashes of the tree, in the order of golang.org/x/mod/sumdb/tlog.
CREATE TABLE hashes (
    idx  INTEGER NOT NULL PRIMARY KEY CHECK (idx >= 0),
    hash BLOB    NOT NULL CHECK (length(hash) = 32)
) STRICT;

-- Signed notes over the first size entries.
CREATE TABLE checkpoints (
    size INTEGER NOT NULL PRIMARY KEY CHECK (size > 0),
    note BLOB    NOT NULL CHECK (length(note) > 0)
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER meta_update BEFORE UPDATE ON meta
BEGIN SELECT RAISE(ABORT, 'meta never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER meta_delete BEFORE DELETE ON meta
BEGIN SELECT RAISE(ABORT, 'meta never changes'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER entries_insert BEFORE INSERT ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries: seq is not the next one')
     WHERE NEW.seq <> (SELECT COALESCE(MAX(seq), -1) + 1 FROM entries);
    SELECT RAISE(ABORT, 'entries: case_seq is not the next one of the case')
     WHERE NEW.case_seq <> (SELECT COALESCE(MAX(case_seq), -1) + 1 FROM entries WHERE case_id = NEW.case_id);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_update BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'entries never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER entries_delete BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'entries are never deleted'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER hashes_insert BEFORE INSERT ON hashes
BEGIN
    SELECT RAISE(ABORT, 'hashes: idx is not the next one')
     WHERE NEW.idx <> (SELECT COALESCE(MAX(idx), -1) + 1 FROM hashes);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER hashes_update BEFORE UPDATE ON hashes
BEGIN SELECT RAISE(ABORT, 'hashes never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER hashes_delete BEFORE DELETE ON hashes
BEGIN SELECT RAISE(ABORT, 'hashes are never deleted'); END;
-- +goose StatementEnd

-- +goose StatementBegin
CREATE TRIGGER checkpoints_insert BEFORE INSERT ON checkpoints
BEGIN
    SELECT RAISE(ABORT, 'checkpoints only grow')
     WHERE NEW.size <= (SELECT COALESCE(MAX(size), 0) FROM checkpoints);
    SELECT RAISE(ABORT, 'checkpoints: there are fewer entries')
     WHERE NEW.size > (SELECT COALESCE(MAX(seq), -1) + 1 FROM entries);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER checkpoints_update BEFORE UPDATE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER checkpoints_delete BEFORE DELETE ON checkpoints
BEGIN SELECT RAISE(ABORT, 'checkpoints are never deleted'); END;
-- +goose StatementEnd
