-- Erasures: what stays of an entry whose payload was taken away. The residue takes the
-- payload's place, in the transaction of the entry that erases it; no other change of
-- an entry is possible.

-- +goose Up

CREATE TABLE erasures (
    entry   INTEGER NOT NULL PRIMARY KEY REFERENCES entries (seq),
    case_id BLOB    NOT NULL,
    leaf    BLOB    NOT NULL UNIQUE CHECK (length(leaf) = 32),
    residue BLOB    NOT NULL CHECK (length(residue) > 0),
    changed INTEGER NOT NULL CHECK (changed >= 0),
    doc     TEXT    NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER erasures_insert BEFORE INSERT ON erasures
BEGIN
    SELECT RAISE(ABORT, 'erasures: no such entry of the case')
     WHERE NOT EXISTS (SELECT 1 FROM entries WHERE seq = NEW.entry AND case_id = NEW.case_id AND leaf = NEW.leaf);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER erasures_update BEFORE UPDATE ON erasures
BEGIN SELECT RAISE(ABORT, 'erasures never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER erasures_delete BEFORE DELETE ON erasures
BEGIN SELECT RAISE(ABORT, 'erasures are never deleted'); END;
-- +goose StatementEnd

DROP TRIGGER entries_update;

-- +goose StatementBegin
CREATE TRIGGER entries_update BEFORE UPDATE ON entries
BEGIN
    SELECT RAISE(ABORT, 'entries never change')
     WHERE NEW.seq <> OLD.seq OR NEW.case_id <> OLD.case_id OR NEW.case_seq <> OLD.case_seq
        OR NEW.event_id <> OLD.event_id OR NEW.leaf <> OLD.leaf OR NEW.envelope <> OLD.envelope
        OR NEW.signature <> OLD.signature
        OR NOT EXISTS (SELECT 1 FROM erasures WHERE entry = OLD.seq AND residue = NEW.payload);
END;
-- +goose StatementEnd
