package writeapi

import _ "embed"

//go:embed openapi.yaml
var openAPI []byte

// OpenAPI is the description of the API: openapi.yaml. Tests hold it against the routes and against real answers.
func OpenAPI() []byte { return openAPI }
