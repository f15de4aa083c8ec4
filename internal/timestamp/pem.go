package timestamp

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

const (
	certificateBlock = "CERTIFICATE"
	listBlock        = "X509 CRL"
)

// ParseRoots reads a PEM file of certificates that a person has made: text between
// them is passed over, what is not a certificate is refused.
func ParseRoots(text []byte) ([]*x509.Certificate, error) {
	var list []*x509.Certificate
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != certificateBlock {
			return nil, fmt.Errorf("a %.40q is no certificate", block.Type)
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		if list = append(list, c); len(list) > MaxCertificates {
			return nil, fmt.Errorf("more than %d certificates", MaxCertificates)
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("no certificate in PEM form")
	}
	return list, nil
}

// MarshalCertificates writes certificates in PEM, in the form that ParseCertificates reads.
func MarshalCertificates(list []*x509.Certificate) []byte {
	var text []byte
	for _, c := range list {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: certificateBlock, Bytes: c.Raw})...)
	}
	return text
}

// ParseCertificates reads what MarshalCertificates writes and nothing else.
func ParseCertificates(text []byte) ([]*x509.Certificate, error) {
	return parseAll(text, certificateBlock, x509.ParseCertificate)
}

// MarshalLists writes revocation lists in PEM, in the form that ParseLists reads.
func MarshalLists(list []*x509.RevocationList) []byte {
	var text []byte
	for _, l := range list {
		text = append(text, pem.EncodeToMemory(&pem.Block{Type: listBlock, Bytes: l.Raw})...)
	}
	return text
}

// ParseLists reads what MarshalLists writes and nothing else.
func ParseLists(text []byte) ([]*x509.RevocationList, error) {
	return parseAll(text, listBlock, x509.ParseRevocationList)
}

func parseAll[T any](text []byte, kind string, parse func([]byte) (*T, error)) ([]*T, error) {
	var list []*T
	var again []byte
	for rest := text; len(rest) > 0; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil || block.Type != kind || len(block.Headers) > 0 {
			return nil, fmt.Errorf("not a list of blocks %s", kind)
		}
		one, err := parse(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", kind, err)
		}
		if list = append(list, one); len(list) > MaxCertificates {
			return nil, fmt.Errorf("more than %d blocks %s", MaxCertificates, kind)
		}
		again = append(again, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: block.Bytes})...)
	}
	if !bytes.Equal(again, text) {
		return nil, fmt.Errorf("blocks %s with something between or around them", kind)
	}
	return list, nil
}
