// Package identity says who somebody is, what that lets them do, and how they
// prove it. It knows no database, no HTTP, no clock and no other room.
//
// # Principals
//
// A principal is the name an entry uses for its actor: 1 to 64 characters, the
// first of [a-z0-9], the rest of [a-z0-9._@-]. It is never a person's name.
// The characters mean nothing to a shell, to a URL and to the pattern lists of
// allowed_signers. The principal "custodyd" is the service itself.
//
// # Roles and permissions
//
// Every operation names one permission; a person may do what any of their
// roles allows. There is no permission that reads a master copy.
//
//	permission      administrator  custodian  examiner  analyst  legal  auditor  screener  service
//	person.enrol    x              -          -         -        -      -        -         -
//	person.revoke   x              -          -         -        -      -        -         -
//	person.read     x              x          x         -        x      x        -         -
//	case.open       -              -          x         -        -      -        -         -
//	case.close      -              -          x         -        -      -        -         -
//	case.read       -              x          x         x        x      x        -         -
//	hold.place      x              x          -         -        x      -        -         -
//	hold.lift       x              -          -         -        x      -        -         -
//	payload.erase   -              x          -         -        -      -        -         -
//	exhibit.add     -              x          x         -        -      -        -         -
//	exhibit.read    -              x          x         x        x      x        -         -
//	intake.declare  -              -          x         -        -      -        -         -
//	intake.upload   -              -          x         -        -      -        -         -
//	intake.seal     -              -          x         -        -      -        -         -
//	intake.abandon  -              x          x         -        -      -        -         -
//	copy.issue      -              x          x         -        -      -        -         -
//	copy.fetch      -              -          x         x        -      -        -         -
//	copy.return     -              x          x         x        -      -        -         -
//	copy.read       -              x          x         x        x      x        -         -
//	copy.verify     -              x          x         x        x      x        -         x
//	history.read    -              x          x         -        x      x        -         -
//	export.create   -              -          x         -        x      -        -         -
//	ledger.read     -              -          -         -        -      x        -         x
//	finding.decide  -              x          -         -        -      -        -         -
//	status.read     x              x          x         x        x      x        x         x
//
// The administrator decides who may see evidence and so sees none by that role
// alone. The examiner fetches working copies because a lab may be one person.
// The custodian, not the examiner who made a copy, decides its findings. The role
// that lifts a hold is not the one that erases: what was held goes by two hands as
// long as nobody is given both, which nothing forbids and the ledger shows. The
// screener learns that things exist and their state, no personal data and no
// content. The role "service" belongs to the principal "custodyd" and cannot
// be given to a person.
//
// # Keys
//
// A public key is written "type base64", as in an authorized_keys line without
// options and comment; there is one such text for a key. Accepted are
//
//	ssh-ed25519
//	ecdsa-sha2-nistp256, ecdsa-sha2-nistp384, ecdsa-sha2-nistp521
//	ssh-rsa with 3072 to 16384 bits
//	sk-ssh-ed25519@openssh.com, sk-ecdsa-sha2-nistp256@openssh.com
//
// The point of an Ed25519 key is in its one spelling, and not of small order: of those
// that nobody generates, one signature would hold over any message.
//
// # Signatures
//
// A signature is the armored form that ssh-keygen -Y sign writes (OpenSSH's
// PROTOCOL.sshsig): base64 in lines of 70 characters between the two SSH
// SIGNATURE lines, each ended by LF, at most 16 KiB. Another wrapping, spare
// bytes in any field, or a number written longer than necessary is refused, so
// that the hash of a signature file names one signature. The namespace is
//
//	custody-event    payloads of ledger entries
//	custody-session  challenges of sign-in
//
// Signatures of sk- keys must carry the user-presence flag; stock ssh-keygen
// does not check it. By hand:
//
//	ssh-keygen -Y verify -f allowed_signers -I PRINCIPAL -n custody-event -s 7.json.sig < 7.json
//
// Who has many signatures of few keys uses a [Verifier]. It adds up multiples of an
// Ed25519 key from a table, with the group arithmetic that crypto/ed25519 is made of, to
// the same equation: crafted keys and signatures, and a fuzzer that makes such, hold the
// two against each other. What it does not take is judged by crypto/ed25519 in the end.
//
// # Sign-in
//
// A challenge is five lines, each ended by LF, that the person signs:
//
//	custody-session v1
//	origin lab.example/custody
//	principal examiner1
//	nonce 64 hexadecimal digits
//	expires 2026-11-21T22:16:17Z
//
// The origin is that of the server's ledger. Whoever signs must compare it with
// the origin pinned on their machine; then a challenge of one server is of no
// use at another. The answer is a bearer token, "cust_" and 32 random bytes in
// unpadded base64url; servers keep only the SHA-256 of its text.
package identity

import (
	"errors"
	"fmt"
)

// ErrPrincipal says that a text is not a principal.
var ErrPrincipal = errors.New("not a principal")

// Principal is the name an entry uses for its actor.
type Principal string

// Service is the principal of the service itself. No person may be enrolled
// under it: see Roles.HeldBy.
const Service Principal = "custodyd"

const maxPrincipal = 64

// ParsePrincipal returns the principal text spells, or ErrPrincipal.
func ParsePrincipal(text string) (Principal, error) {
	if text == "" || len(text) > maxPrincipal {
		return "", fmt.Errorf("%w: %d characters, want 1 to %d", ErrPrincipal, len(text), maxPrincipal)
	}
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '@' || c == '-'):
		default:
			return "", fmt.Errorf("%w: %q at position %d of %q", ErrPrincipal, c, i, text)
		}
	}
	return Principal(text), nil
}

// UnmarshalText is ParsePrincipal.
func (p *Principal) UnmarshalText(text []byte) error {
	parsed, err := ParsePrincipal(string(text))
	if err != nil {
		return err
	}
	*p = parsed
	return nil
}
