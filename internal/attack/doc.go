// Package attack is the threat table of README.md, carried out. Each row of it is a
// test here: somebody with the powers that the row names, such as the database, the
// store or the ledger's key, does with the real programs and real files what the row
// says; then those who should catch it do, each answer asserted by its name, and those
// who cannot are shown not to. TestReadme holds the table in README.md against the
// rows.
//
// There is nothing here but tests.
package attack
