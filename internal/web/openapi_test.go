package web

import (
	"encoding/json"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

const readDoc = `
openapi: 3.1.0
info: {title: read, version: "1"}
tags: [{name: media}]
paths:
  /v1/media/{id}:
    parameters: [{$ref: '#/components/parameters/ID'}]
    get:
      operationId: get
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}
components:
  parameters:
    ID: {name: id, in: path, required: true, schema: {type: string}}
  schemas:
    Item: {type: object, properties: {title: {type: string}}}
    Same: {type: string}
`

const writeDoc = `
openapi: 3.1.0
info: {title: write, version: "1"}
tags: [{name: media}, {name: shares}]
paths:
  /v1/media/{id}:
    parameters: [{$ref: '#/components/parameters/MediaID'}]
    patch:
      operationId: patch
      responses: {'200': {description: ok, content: {application/json: {schema: {$ref: '#/components/schemas/Item'}}}}}
components:
  parameters:
    MediaID: {name: id, in: path, required: true, schema: {type: string}}
  schemas:
    Item: {type: object, properties: {position: {type: integer}}}
    Same: {type: string}
`

func TestMergeOpenAPI(t *testing.T) {
	t.Parallel()
	t.Run("one path with the methods of both, and components that keep their meaning", func(t *testing.T) {
		t.Parallel()
		raw, err := MergeOpenAPI("both", []byte(readDoc), []byte(writeDoc))
		if err != nil {
			t.Fatal(err)
		}
		doc, err := openapi3.NewLoader().LoadFromData(raw)
		if err != nil {
			t.Fatalf("%v\n%s", err, raw)
		}
		if doc.Info.Title != "both" || len(doc.Tags) != 2 || len(doc.Components.Schemas) != 3 {
			t.Errorf("title %q, %d tags, %d schemas; want both, 2, 3", doc.Info.Title, len(doc.Tags), len(doc.Components.Schemas))
		}
		item := doc.Paths.Value("/v1/media/{id}")
		for method, property := range map[string]string{"GET": "title", "PATCH": "position"} {
			op := item.GetOperation(method)
			if op == nil || op.Parameters.GetByInAndName("path", "id") == nil {
				t.Fatalf("%s is not there with its parameter", method)
			}
			if op.Responses.Value("200").Value.Content["application/json"].Schema.Value.Properties[property] == nil {
				t.Errorf("%s answers another schema than its own", method)
			}
		}
	})
	t.Run("the same method twice is an error", func(t *testing.T) {
		t.Parallel()
		if raw, err := MergeOpenAPI("both", []byte(readDoc), []byte(readDoc)); err == nil {
			t.Errorf("it was merged: %s", json.RawMessage(raw))
		}
	})
}
