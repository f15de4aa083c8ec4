-- What of the ledger lies in the object store: segments, each entries first to
-- until-1, one after the other. What is missing here and lies there is found again.

-- +goose Up

-- envelopes and payloads are the caller's own JSON: the segment's two objects.
CREATE TABLE published (
    first     INTEGER NOT NULL PRIMARY KEY CHECK (first >= 0),
    until     INTEGER NOT NULL CHECK (until > first),
    envelopes TEXT    NOT NULL,
    payloads  TEXT    NOT NULL
) STRICT;

-- +goose StatementBegin
CREATE TRIGGER published_insert BEFORE INSERT ON published
BEGIN
    SELECT RAISE(ABORT, 'published: does not begin where the segment before ends')
     WHERE NEW.first <> COALESCE((SELECT until FROM published ORDER BY first DESC LIMIT 1), 0);
    SELECT RAISE(ABORT, 'published: there are fewer entries')
     WHERE NEW.until > (SELECT COALESCE(MAX(seq), -1) + 1 FROM entries);
END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER published_update BEFORE UPDATE ON published
BEGIN SELECT RAISE(ABORT, 'published segments never change'); END;
-- +goose StatementEnd
-- +goose StatementBegin
CREATE TRIGGER published_delete BEFORE DELETE ON published
BEGIN SELECT RAISE(ABORT, 'published segments are never deleted'); END;
-- +goose StatementEnd
