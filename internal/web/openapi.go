package web

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MergeOpenAPI makes one OpenAPI 3.1 document, in JSON, of several in YAML, whose paths may be the same as long as their methods
// differ. Components of the same name that say different things get names of their own. title is the merged document's.
func MergeOpenAPI(title string, sources ...[]byte) ([]byte, error) {
	merged := map[string]any{"paths": map[string]any{}, "components": map[string]any{}}
	for i, source := range sources {
		var doc map[string]any
		if err := yaml.Unmarshal(source, &doc); err != nil {
			return nil, fmt.Errorf("openapi document %d: %w", i+1, err)
		}
		if err := mergeInto(merged, doc, fmt.Sprintf("_%d", i+1)); err != nil {
			return nil, fmt.Errorf("openapi document %d: %w", i+1, err)
		}
	}
	if info, ok := merged["info"].(map[string]any); ok {
		info["title"] = title
	}
	return json.Marshal(merged)
}

func mergeInto(merged, doc map[string]any, suffix string) error {
	names := renamed(member(merged, "components"), member(doc, "components"), suffix)
	doc, _ = withRefs(doc, names).(map[string]any)
	for kind, all := range member(doc, "components") {
		into := child(member(merged, "components"), kind)
		for name, component := range asMap(all) {
			if other, ok := names["#/components/"+kind+"/"+name]; ok {
				name = other[strings.LastIndexByte(other, '/')+1:]
			}
			into[name] = component
		}
	}
	for path, item := range member(doc, "paths") {
		into := child(member(merged, "paths"), path)
		shared, _ := asMap(item)["parameters"].([]any)
		for method, operation := range asMap(item) {
			if method == "parameters" {
				continue
			}
			if _, twice := into[method]; twice {
				return fmt.Errorf("%s %s stands in two documents", strings.ToUpper(method), path)
			}
			if op := asMap(operation); len(shared) > 0 { // the other document's may be named otherwise
				own, _ := op["parameters"].([]any)
				op["parameters"] = append(slices.Clone(shared), own...)
			}
			into[method] = operation
		}
	}
	for key, value := range doc {
		switch before, there := merged[key].([]any); {
		case key == "paths" || key == "components":
		case key == "tags" && there:
			merged[key] = tagsOf(before, value)
		case merged[key] == nil:
			merged[key] = value
		}
	}
	return nil
}

// renamed are the references of doc's components that would hide others of the same name.
func renamed(have, add map[string]any, suffix string) map[string]string {
	names := map[string]string{}
	for kind, all := range add {
		for name, component := range asMap(all) {
			if other, there := asMap(have[kind])[name]; there && !reflect.DeepEqual(other, component) {
				ref := "#/components/" + kind + "/" + name
				names[ref] = ref + suffix
			}
		}
	}
	return names
}

// withRefs is the value with its references renamed.
func withRefs(value any, names map[string]string) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, inner := range v {
			if ref, ok := inner.(string); ok && key == "$ref" && names[ref] != "" {
				out[key] = names[ref]
				continue
			}
			out[key] = withRefs(inner, names)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, inner := range v {
			out[i] = withRefs(inner, names)
		}
		return out
	default:
		return value
	}
}

func tagsOf(have []any, more any) []any {
	all := slices.Clone(have)
	added, _ := more.([]any)
	for _, tag := range added {
		name := asMap(tag)["name"]
		if !slices.ContainsFunc(all, func(t any) bool { return asMap(t)["name"] == name }) {
			all = append(all, tag)
		}
	}
	return all
}

func asMap(v any) map[string]any { m, _ := v.(map[string]any); return m }

// member is the map under a key; reading it when there is none is harmless.
func member(m map[string]any, key string) map[string]any { return asMap(m[key]) }

// child is the map under a key, made and kept when there is none.
func child(m map[string]any, key string) map[string]any {
	c := asMap(m[key])
	if c == nil {
		c = map[string]any{}
	} else {
		c = maps.Clone(c)
	}
	m[key] = c
	return c
}
