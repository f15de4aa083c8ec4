// Package api is the contract between custodyd and whoever talks to it over
// HTTP: openapi.yaml is the source, the wire types and the client of the JSON
// operations are generated from it (go generate), and [Problem] is how the
// service says no.
//
// The nouns are those of package evidence, so that nothing is converted twice:
// their schemas in the document describe how these types write themselves, and
// a test compares the two.
package api

import _ "embed"

//go:generate oapi-codegen -config oapi-codegen.yaml openapi.yaml
//go:generate oapi-codegen -config oapi-codegen-server.yaml openapi.yaml

// Document is openapi.yaml as it is served.
//
//go:embed openapi.yaml
var Document []byte

// MaxJSON is the greatest size of a JSON request in bytes.
const MaxJSON = 1 << 20

// ProblemType is the media type of a [Problem] (RFC 9457).
const ProblemType = "application/problem+json"
