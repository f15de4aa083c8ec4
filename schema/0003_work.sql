-- What the service remembers for itself. None of it is evidence and all of it may
-- be deleted: people sign in again and uploads begin again.

-- +goose Up

-- expires is in microseconds since 1970, UTC.
CREATE TABLE sessions (
    token_hash BLOB    NOT NULL PRIMARY KEY CHECK (length(token_hash) = 32),
    principal  TEXT    NOT NULL REFERENCES people (principal),
    method     TEXT    NOT NULL,
    expires    INTEGER NOT NULL
) STRICT;

CREATE INDEX sessions_by_expiry ON sessions (expires);
CREATE INDEX sessions_of_person ON sessions (principal);

-- doc is the caller's own JSON.
CREATE TABLE uploads (
    intake BLOB NOT NULL PRIMARY KEY REFERENCES intakes (intake),
    phase  TEXT NOT NULL CHECK (length(phase) > 0),
    doc    TEXT NOT NULL
) STRICT;

-- One row for each part that is durable in the object store: bytes start to
-- start+size, the hash state behind them, and the midstates noted within them.
CREATE TABLE upload_parts (
    intake    BLOB    NOT NULL REFERENCES uploads (intake),
    number    INTEGER NOT NULL CHECK (number > 0),
    start     INTEGER NOT NULL CHECK (start >= 0),
    size      INTEGER NOT NULL CHECK (size >= 0),
    doc       TEXT    NOT NULL,
    state     BLOB    NOT NULL,
    midstates BLOB    NOT NULL CHECK (length(midstates) % 32 = 0),
    PRIMARY KEY (intake, number)
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER upload_parts_insert BEFORE INSERT ON upload_parts
BEGIN
    SELECT RAISE(ABORT, 'upload_parts: not the next part')
     WHERE NEW.number <> (SELECT COALESCE(MAX(number), 0) + 1 FROM upload_parts WHERE intake = NEW.intake);
    SELECT RAISE(ABORT, 'upload_parts: does not begin where the part before ends')
     WHERE NEW.start <> COALESCE((SELECT start + size FROM upload_parts
                                   WHERE intake = NEW.intake AND number = NEW.number - 1), 0);
END;
-- +goose StatementEnd
