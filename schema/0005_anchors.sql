-- Time stamps (RFC 3161) over checkpoints. The ledger has their hashes, and the object
-- store a copy of each that stands in an entry.

-- +goose Up

-- A round asks all authorities about one checkpoint, of the first size entries.
CREATE TABLE anchor_rounds (
    size INTEGER NOT NULL PRIMARY KEY CHECK (size > 0),
    note BLOB    NOT NULL CHECK (length(note) > 0)
) STRICT;

-- What became of one authority in one round. due is in microseconds since 1970, UTC:
-- when a pending one is asked again. doc is the caller's own: the token with all that
-- belongs to it. entry is the ledger entry that tells of the token, and object, as JSON,
-- where the object store has it.
CREATE TABLE anchor_stamps (
    size      INTEGER NOT NULL REFERENCES anchor_rounds (size),
    authority TEXT    NOT NULL CHECK (length(authority) > 0),
    state     TEXT    NOT NULL CHECK (state IN ('pending', 'anchored', 'failed')),
    tries     INTEGER NOT NULL DEFAULT 0 CHECK (tries >= 0),
    refusals  INTEGER NOT NULL DEFAULT 0 CHECK (refusals >= 0),
    due       INTEGER NOT NULL DEFAULT 0,
    problem   TEXT    NOT NULL DEFAULT '',
    doc       TEXT    NOT NULL DEFAULT '',
    entry     INTEGER NOT NULL DEFAULT -1,
    object    TEXT    NOT NULL DEFAULT '',
    PRIMARY KEY (size, authority),
    CHECK ((state = 'anchored') = (length(doc) > 0)),
    CHECK (entry = -1 OR (state = 'anchored' AND entry >= size)),
    CHECK (object = '' OR entry >= 0)
) STRICT;

CREATE INDEX anchor_stamps_waiting ON anchor_stamps (authority, due) WHERE state = 'pending';
CREATE INDEX anchor_stamps_untold ON anchor_stamps (size) WHERE state = 'anchored' AND object = '';

-- +goose StatementBegin
CREATE TRIGGER anchor_rounds_update BEFORE UPDATE ON anchor_rounds
BEGIN SELECT RAISE(ABORT, 'anchor_rounds never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER anchor_rounds_delete BEFORE DELETE ON anchor_rounds
BEGIN SELECT RAISE(ABORT, 'anchor_rounds never go'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER anchor_stamps_update BEFORE UPDATE ON anchor_stamps
WHEN OLD.state <> 'pending' AND (NEW.state <> OLD.state OR NEW.doc <> OLD.doc OR (OLD.entry >= 0 AND NEW.entry <> OLD.entry))
BEGIN SELECT RAISE(ABORT, 'anchor_stamps: what is decided stays so'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER anchor_stamps_delete BEFORE DELETE ON anchor_stamps
BEGIN SELECT RAISE(ABORT, 'anchor_stamps never go'); END;
-- +goose StatementEnd
