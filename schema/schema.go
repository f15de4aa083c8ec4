// Package schema holds the SQL migrations of custodyd's database, and no code.
// Files run in the order of their numbers, each once and in one transaction; a
// file that was released never changes. There is no way back: a ledger does not
// forget what a newer program wrote, so the files have no "down".
//
// The dialect is SQLite's: STRICT tables, triggers, and BLOB for hashes and ids.
// Statements that the program sends are portable and live in package database;
// another engine gets its own files with the same tables.
//
// What these files promise, whatever the program does:
//
//   - entries, tree hashes and checkpoints are only ever added, each as the next
//     one: no UPDATE, no DELETE, no gap. Only what is left of a payload that was
//     erased takes its place, and an erasure never changes. INSERT OR REPLACE deletes the row in its
//     way, and SQLite fires no trigger for that unless recursive_triggers is on:
//     every connection has to set it.
//   - a copy has an exhibit, an exhibit a case, an upload an intake.
//   - the parts of an upload lie one after the other.
//
// A projection's row is its noun as JSON in doc, beside the members that the
// program looks up, lists and keeps unique by.
//
// Beside them lie the JSON Schemas (draft 2020-12) of the payloads that people and
// the service sign: one for each action, over payload.json, which is what all have.
// They describe form, and refuse nothing that may stand in a ledger. What they
// cannot say, package evidence does: that the bytes are in canonical form, the order
// of roles and strays, and which event may follow which.
package schema

import "embed"

// Migrations are the files, named NNNN_subject.sql.
//
//go:embed *.sql
var Migrations embed.FS

// Payloads are the files payload/ACTION.json and payload/payload.json.
//
//go:embed payload/*.json
var Payloads embed.FS
