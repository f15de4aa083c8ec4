// Package house keeps the rules of the house. It is nothing but tests: each rule
// of the design that a machine can check is checked on every run, and each is
// also shown a small tree that breaks it, so that no rule sleeps.
//
//   - rooms_test.go: who may import what, the "never there" column of the plan;
//   - source_test.go: what Go source looks like: package comments, names, length,
//     no clock, no SQL text, no skipped tests;
//   - text_test.go: what no file says, what stands at the top level, the licence.
//
// Rules hold for product code. Test files may import and call what they like,
// generated files are as long and as worded as their generator made them.
package house
