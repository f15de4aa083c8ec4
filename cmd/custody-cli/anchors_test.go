package main

import (
	"encoding/base64"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/custodyd/custodyd/internal/authority/authoritytest"
)

// cmdAuthority starts a time-stamping authority, or has one misbehave.
func cmdAuthority(t *testing.T) func(*testscript.TestScript, bool, []string) {
	t.Helper()
	return func(ts *testscript.TestScript, _ bool, args []string) {
		l, name := labOf(ts), args[0]
		if len(args) == 2 {
			l.tsas[name].Behave(authoritytest.Behaviour{Down: args[1] == "down"})
			return
		}
		a := authoritytest.New(t, name)
		if l.tsas == nil {
			l.tsas = map[string]*authoritytest.Authority{}
		}
		l.tsas[name] = a
		ts.Setenv(name+"_URL", a.URL)
		root, err := os.ReadFile(a.RootFile)
		ts.Check(err)
		ts.Check(os.WriteFile(ts.MkAbs(name+".pem"), root, 0o600))
		line := "authority " + name + " " + base64.StdEncoding.EncodeToString(a.Root.Raw) + "\n"
		ts.Check(os.WriteFile(ts.MkAbs(name+".line"), []byte(line), 0o600))
	}
}
