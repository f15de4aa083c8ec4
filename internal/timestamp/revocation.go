package timestamp

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"time"
)

var (
	oidReason = asn1.ObjectIdentifier{2, 5, 29, 21}
	oidDelta  = asn1.ObjectIdentifier{2, 5, 29, 27}
)

// harmless are the reasons for which a certificate is revoked without doubt about what
// was signed before: unspecified, affiliationChanged, superseded, cessationOfOperation.
//
// SPEC: "When the reasonCode extension relative to the revoked certificate from the TSA
// is present in the CRL entry extensions, it SHALL be set either to unspecified (0),
// affiliationChanged (3), superseded (4) or cessationOfOperation (5). … tokens generated
// before the revocation time will remain valid. When the reasonCode extension … is not
// present in the CRL entry extensions, then all the tokens that have been signed with the
// corresponding key SHALL be considered as invalid." (RFC 3161, section 4)
var harmless = []int{0, 3, 4, 5}

// revocation holds the stamp's chain against lists.
func (s *Stamp) revocation(lists []*x509.RevocationList) error {
	for i, c := range s.Chain[:len(s.Chain)-1] {
		known := false
		for _, l := range lists {
			if !bytes.Equal(l.RawIssuer, s.Chain[i+1].RawSubject) || l.CheckSignatureFrom(s.Chain[i+1]) != nil || foreign(l) {
				continue
			}
			at := slices.IndexFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(c.SerialNumber) == 0 })
			if at >= 0 {
				if err := s.revoked(c, l.RevokedCertificateEntries[at]); err != nil {
					return err
				}
			}
			known = known || at >= 0 || complete(l) && (l.NextUpdate.IsZero() || !l.NextUpdate.Before(s.Time))
		}
		if !known {
			s.Unknown = append(s.Unknown, c.Subject.String())
		}
	}
	return nil
}

// revoked decides what the revocation of a certificate of the chain means for the stamp.
func (s *Stamp) revoked(c *x509.Certificate, e x509.RevocationListEntry) error {
	when := e.RevocationTime.UTC().Format(time.RFC3339)
	written := slices.ContainsFunc(e.Extensions, func(x pkix.Extension) bool { return x.Id.Equal(oidReason) })
	switch {
	case !e.RevocationTime.After(s.Time):
		return fmt.Errorf("%w: %s on %s, before the time stamp", ErrRevoked, c.Subject, when)
	case !written:
		return fmt.Errorf("%w: %s on %s, without a reason, so nothing it ever signed is believed", ErrRevoked, c.Subject, when)
	case !slices.Contains(harmless, e.ReasonCode):
		return fmt.Errorf("%w: %s on %s, with the reason %d, so nothing it ever signed is believed", ErrRevoked, c.Subject, when, e.ReasonCode)
	}
	s.Notes = append(s.Notes, fmt.Sprintf("%s was revoked on %s, after the time stamp, for a reason (%d) that leaves it valid", c.Subject, when, e.ReasonCode))
	return nil
}

// foreign reports whether a list has entries that can be of other issuers.
func foreign(l *x509.RevocationList) bool {
	return slices.ContainsFunc(l.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool {
		return slices.ContainsFunc(e.Extensions, func(x pkix.Extension) bool { return x.Critical })
	})
}

// complete reports whether a certificate that is not on the list is not revoked: lists
// of changes, and those that a critical extension makes about a part, are not complete.
func complete(l *x509.RevocationList) bool {
	return !slices.ContainsFunc(l.Extensions, func(x pkix.Extension) bool { return x.Critical || x.Id.Equal(oidDelta) })
}
