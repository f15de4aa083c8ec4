// Package report puts what the ledger holds into words for people. It is pure: the
// same entries give the same text, and nothing in it is looked up or decided.
//
// A [Line] answers what a court asks of each step in the custody of evidence: who,
// what, when, where, why and with which tool. The six answers stand apart, for
// tables and machines; [Line.Sentence] says them in one.
//
// Who and when come from the payload that was signed and the envelope it stands in:
// the clock is the ledger's, and where the actor's own clock says something else
// by more than two minutes, that is said. Entries that the service made for a
// person name that person.
package report
