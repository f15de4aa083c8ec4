// Package timestamp asks for RFC 3161 time stamps and judges them. It does no I/O and
// has no clock: what is judged is what an authority has signed, at the time that it
// states, by roots that the caller has pinned.
//
// # Request
//
// A TimeStampReq (RFC 3161, section 2.4.1) of version 1 with the SHA-256 of the
// message, a nonce, certReq, and no policy or extension.
//
// # Response
//
// A TimeStampResp in DER without a byte behind it, of at most [MaxResponse] bytes and
// with the status granted: an authority that changed what was asked for
// (grantedWithMods) has stamped something else. The token is a CMS SignedData (RFC
// 5652) over a TSTInfo, signed by one signer whose certificate stands in it, with
// SHA-256 or a longer hash of that family, by RSA (PKCS #1 v1.5), ECDSA or Ed25519 with
// that same hash. Its imprint is the SHA-256 of the message;
// its nonce, as long as the asker remembers it, the one of the request.
//
// # What Verify demands
//
//   - The signature holds, over signed attributes that name the content's type and hash
//     and the signer's certificate (signingCertificate of RFC 2634, or V2 of RFC 5035).
//   - The certificate is for nothing but time stamping: an extended key usage that is
//     critical and says timeStamping alone (RFC 3161, section 2.3); it is no CA.
//   - A chain leads from it to one of the caller's roots, and every certificate in it is
//     valid at the token's time. That they have expired since does no harm; and a token
//     that is dated before its own certificate is refused.
//   - No certificate of that chain is revoked by the given lists, see below.
//
// An authority can still put any time into a token that its certificate's life allows.
// That such a time cannot be true shows only against other things, such as what was
// stamped: package verify holds both against each other, within [Tolerance].
//
// # Revocation
//
// A list counts if the certificate's issuer has signed it. A certificate revoked before
// the token's time makes the token worthless. If it was revoked after that, RFC 3161,
// section 4, decides: with the reasons unspecified, affiliationChanged, superseded or
// cessationOfOperation written down, tokens from before remain valid, and the revocation
// is told in [Stamp.Notes]; with keyCompromise or any other reason, or with none written
// down, nothing that the key has ever signed is believed.
//
// A certificate is not on a list that has ended before the token's time, or covers a
// part of what the issuer issued: about it nothing is known. So it stands in
// [Stamp.Unknown], as does one for which no list was given: a list that could not be had
// when the token was made is no reason to throw the token away.
//
// # By hand
//
// For a message, its response, the pinned root and the certificates that came with it:
//
//	openssl ts -query -data message -sha256 -cert -out request.tsq
//	openssl ts -reply -in response.tsr -text
//	openssl ts -verify -in response.tsr -data message -CAfile root.pem -untrusted chain.pem
//
// With certificates that have expired since, add -attime and the token's time in seconds
// since 1970 (date -d 'TIME' +%s). With revocation lists, first see that the issuer
// signed the list, then whether the certificate's serial number is on it:
//
//	openssl crl -in list.crl.pem -CAfile root.pem -noout -text
package timestamp
