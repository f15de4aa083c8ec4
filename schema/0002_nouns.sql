-- The projections: the nouns as the newest entries left them. Each row is written
-- in the transaction of the entry that caused it.

-- +goose Up

-- number is the order of enrolment.
CREATE TABLE people (
    number    INTEGER NOT NULL PRIMARY KEY,
    principal TEXT    NOT NULL UNIQUE,
    key       TEXT    NOT NULL UNIQUE,
    changed   INTEGER NOT NULL CHECK (changed >= 0),
    doc       TEXT    NOT NULL
) STRICT;

CREATE TABLE cases (
    id        BLOB    NOT NULL PRIMARY KEY CHECK (length(id) = 16),
    reference TEXT    NOT NULL UNIQUE,
    state     TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    changed   INTEGER NOT NULL CHECK (changed >= 0),
    doc       TEXT    NOT NULL
) STRICT;

CREATE TABLE exhibits (
    case_id BLOB    NOT NULL REFERENCES cases (id),
    label   TEXT    NOT NULL,
    changed INTEGER NOT NULL CHECK (changed >= 0),
    doc     TEXT    NOT NULL,
    PRIMARY KEY (case_id, label)
) STRICT;

CREATE UNIQUE INDEX exhibits_alike ON exhibits (case_id, lower(label));

CREATE TABLE intakes (
    intake  BLOB    NOT NULL PRIMARY KEY CHECK (length(intake) = 16),
    case_id BLOB    NOT NULL,
    exhibit TEXT    NOT NULL,
    state   TEXT    NOT NULL CHECK (state IN ('declared', 'sealed', 'issued', 'quarantined', 'abandoned')),
    changed INTEGER NOT NULL CHECK (changed >= 0),
    doc     TEXT    NOT NULL,
    FOREIGN KEY (case_id, exhibit) REFERENCES exhibits (case_id, label)
) STRICT;

CREATE INDEX intakes_of_exhibit ON intakes (case_id, exhibit);
CREATE INDEX intakes_pending ON intakes (intake) WHERE state = 'declared';

CREATE TABLE copies (
    case_id BLOB    NOT NULL,
    exhibit TEXT    NOT NULL,
    number  TEXT    NOT NULL,
    class   TEXT    NOT NULL CHECK (class IN ('master', 'working', 'derived')),
    intake  BLOB    NOT NULL UNIQUE REFERENCES intakes (intake),
    state   TEXT    NOT NULL CHECK (state IN ('sealed', 'issued', 'returned')),
    changed INTEGER NOT NULL CHECK (changed >= 0),
    doc     TEXT    NOT NULL,
    PRIMARY KEY (case_id, exhibit, number),
    FOREIGN KEY (case_id, exhibit) REFERENCES exhibits (case_id, label)
) STRICT;

CREATE TABLE findings (
    case_id BLOB    NOT NULL,
    number  INTEGER NOT NULL CHECK (number > 0),
    exhibit TEXT    NOT NULL,
    copy    TEXT    NOT NULL,
    state   TEXT    NOT NULL CHECK (state IN ('open', 'closed')),
    changed INTEGER NOT NULL CHECK (changed >= 0),
    doc     TEXT    NOT NULL,
    PRIMARY KEY (case_id, number),
    FOREIGN KEY (case_id, exhibit, copy) REFERENCES copies (case_id, exhibit, number)
) STRICT;

CREATE INDEX findings_of_copy ON findings (case_id, exhibit, copy);
