-- Checkpoints with the lines of outside witnesses. The newest one is here, and those
-- that are kept for good: they lie in the object store too.

-- +goose Up

-- kept: the note has its final form, and is put into the store. object is the caller's
-- own JSON: where it lies there; empty, until it does.
CREATE TABLE cosigned (
    size   INTEGER NOT NULL PRIMARY KEY CHECK (size > 0),
    note   BLOB    NOT NULL CHECK (length(note) > 0),
    kept   INTEGER NOT NULL DEFAULT 0 CHECK (kept IN (0, 1)),
    object TEXT    NOT NULL DEFAULT '',
    CHECK (kept = 1 OR object = '')
) STRICT;

CREATE INDEX cosigned_to_put ON cosigned (size) WHERE kept = 1 AND object = '';

-- +goose StatementBegin
CREATE TRIGGER cosigned_insert BEFORE INSERT ON cosigned
BEGIN
    SELECT RAISE(ABORT, 'cosigned: there are fewer entries')
     WHERE NEW.size > (SELECT COALESCE(MAX(seq), -1) + 1 FROM entries);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cosigned_update BEFORE UPDATE ON cosigned
WHEN OLD.kept = 1 AND (NEW.kept <> 1 OR NEW.size <> OLD.size OR NEW.note <> OLD.note OR (OLD.object <> '' AND NEW.object <> OLD.object))
BEGIN SELECT RAISE(ABORT, 'cosigned: what is kept never changes'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER cosigned_delete BEFORE DELETE ON cosigned
WHEN OLD.kept = 1
BEGIN SELECT RAISE(ABORT, 'cosigned: what is kept is never deleted'); END;
-- +goose StatementEnd
