package verify

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/custodyd/custodyd/internal/evidence"
	"github.com/custodyd/custodyd/internal/timestamp"
)

// maxRoots is how many lines of authorities a policy can have.
const maxRoots = 40

// Authority is a root certificate of a time-stamping authority that the verifier
// believes. An authority with several roots has several.
type Authority struct {
	Name string // as the ledger calls it
	Root *x509.Certificate
}

// authority reads NAME BASE64, where BASE64 is the root certificate in DER.
func (p *Policy) authority(value string) error {
	name, text, ok := strings.Cut(value, " ")
	if !ok {
		return errors.New("authority: a name and its root certificate are due: authority NAME BASE64")
	}
	if err := evidence.CheckAuthority(name); err != nil {
		return err
	}
	der, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil {
		return fmt.Errorf("authority: %w", err)
	}
	root, err := x509.ParseCertificate(der)
	switch {
	case err != nil:
		return fmt.Errorf("authority: %w", err)
	case len(p.Authorities) == maxRoots:
		return fmt.Errorf("authority: more than %d", maxRoots)
	}
	added := Authority{name, root}
	for _, a := range p.Authorities {
		switch {
		case a.Root.Equal(root):
			return errors.New("authority: the root is there already")
		case a.Name != name && a.related(added):
			return fmt.Errorf("authority: the roots of %s and %s are of one authority, which would count twice", a.Name, name)
		}
	}
	p.Authorities = append(p.Authorities, added)
	return nil
}

// related reports whether two roots have one key, or one was issued by the other.
func (a Authority) related(b Authority) bool {
	issued := func(root, by *x509.Certificate) bool {
		return bytes.Equal(root.RawIssuer, by.RawSubject) && root.CheckSignatureFrom(by) == nil
	}
	return bytes.Equal(a.Root.RawSubjectPublicKeyInfo, b.Root.RawSubjectPublicKeyInfo) || issued(a.Root, b.Root) || issued(b.Root, a.Root)
}

// anchors reads how many authorities are demanded.
func (p *Policy) anchors(value string) error {
	n, err := strconv.Atoi(value)
	if err != nil || strconv.Itoa(n) != value || n < 1 {
		return fmt.Errorf("anchors: %.20q is no number from 1 on", value)
	}
	p.Anchors = n
	return nil
}

// wholeAuthorities checks that what is demanded can be had.
func (p *Policy) wholeAuthorities() error {
	names := map[string]bool{}
	for _, a := range p.Authorities {
		names[a.Name] = true
	}
	if p.Anchors > len(names) {
		return fmt.Errorf("anchors %d: time stamps of that many authorities are demanded, and authorities that are named: %d", p.Anchors, len(names))
	}
	return nil
}

// trust gives what the time stamps of an authority are judged by; false, when the policy
// does not know it.
func (p *Policy) trust(name string) (timestamp.Trust, bool) {
	var t timestamp.Trust
	if p != nil {
		for _, a := range p.Authorities {
			if a.Name == name {
				t.Roots = append(t.Roots, a.Root)
			}
		}
	}
	return t, len(t.Roots) > 0
}

// marshalAuthorities writes the lines about authorities.
func (p Policy) marshalAuthorities(b []byte) []byte {
	for _, a := range p.Authorities {
		b = fmt.Appendf(b, "authority %s %s\n", a.Name, base64.StdEncoding.EncodeToString(a.Root.Raw))
	}
	if p.Anchors > 0 {
		b = fmt.Appendf(b, "anchors %d\n", p.Anchors)
	}
	return b
}
