package identity

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"strings"

	"golang.org/x/crypto/ssh"
)

var strictBase64 = base64.StdEncoding.Strict()

// ed25519Check is [ed25519.Verify], or what does the same for one key.
type ed25519Check func(public ed25519.PublicKey, message, sig []byte) bool

// verifyPlain is [Verify] for the signature of an Ed25519 key as ssh-keygen and we write
// it. Of that all bytes but the last 64 are known beforehand, so nothing is parsed, only
// compared. It may say no to any signature: then Verify finds out, and what is wrong.
//
// SPEC: OpenSSH PROTOCOL.sshsig, sections 1 to 3
func verifyPlain(key PublicKey, ns Namespace, message, armored []byte, check ed25519Check) bool {
	var buf [6][512]byte
	wire, ok := key.ed25519Wire(buf[0][:0])
	if !ok || len(armored) > 1024 {
		return false
	}
	blob, ok := unarmor(buf[1][:0], armored)
	if !ok {
		return false
	}
	var sum []byte
	for _, hash := range []string{"sha512", "sha256"} {
		purpose := appendString(appendString(appendString(buf[2][:0], string(ns)), ""), hash)
		front := appendString(append(buf[3][:0], "SSHSIG\x00\x00\x00\x01"...), string(wire))
		front = append(front, purpose...)
		inner := appendString(buf[4][:0], ssh.KeyAlgoED25519)
		inner = binary.BigEndian.AppendUint32(inner, ed25519.SignatureSize)
		front = binary.BigEndian.AppendUint32(front, uint32(len(inner)+ed25519.SignatureSize)) //nolint:gosec // 83
		front = append(front, inner...)
		if len(blob) != len(front)+ed25519.SignatureSize || !bytes.HasPrefix(blob, front) {
			continue
		}
		if hash == "sha512" {
			h := sha512.Sum512(message)
			sum = h[:]
		} else {
			h := sha256.Sum256(message)
			sum = h[:]
		}
		signed := append(append(buf[5][:0], "SSHSIG"...), purpose...)
		return check(wire[len(wire)-ed25519.PublicKeySize:], appendString(signed, string(sum)), blob[len(front):])
	}
	return false
}

// ed25519Wire appends an Ed25519 key as SSH has it on the wire (RFC 8709, section 4):
// the last 32 bytes are the key itself. It says no to a key of another kind.
func (k PublicKey) ed25519Wire(dst []byte) ([]byte, bool) {
	text, ok := strings.CutPrefix(k.text, ssh.KeyAlgoED25519+" ")
	if !ok {
		return nil, false
	}
	wire, err := strictBase64.AppendDecode(dst, []byte(text))
	return wire, err == nil && len(wire) == 4+len(ssh.KeyAlgoED25519)+4+ed25519.PublicKeySize
}

// appendString appends a string of SSH (RFC 4251, section 5).
func appendString(to []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(to, uint32(len(s))), s...) //nolint:gosec // ours are short
}

// unarmor reads what armor writes, and appends it to dst. Line breaks at other places
// than armor's make it say no, or give fewer bytes.
func unarmor(dst, armored []byte) ([]byte, bool) {
	rest, begins := bytes.CutPrefix(armored, []byte("-----BEGIN SSH SIGNATURE-----\n"))
	rest, ends := bytes.CutSuffix(rest, []byte("-----END SSH SIGNATURE-----\n"))
	if !begins || !ends {
		return nil, false
	}
	var buf [1024]byte
	text := buf[:0]
	for len(rest) > 0 {
		n := min(armorLine, len(rest)-1)
		if n == 0 || rest[n] != '\n' {
			return nil, false
		}
		text, rest = append(text, rest[:n]...), rest[n+1:]
	}
	blob, err := strictBase64.AppendDecode(dst, text)
	return blob, err == nil && strictBase64.EncodedLen(len(blob)) == len(text)
}
