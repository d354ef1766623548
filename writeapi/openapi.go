package writeapi

import _ "embed"

// OpenAPI describes the write API (OpenAPI 3.1, YAML). Tests hold it against the routes and against real answers.
//
//go:embed openapi.yaml
var OpenAPI []byte
