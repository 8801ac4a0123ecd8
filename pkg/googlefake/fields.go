package googlefake

import (
	"bytes"
	"encoding/json"
	"strings"
)

// fieldTree is a fields parameter: what of an object is wanted. Without branches all of it is.
type fieldTree map[string]fieldTree

// parseFields reads a partial response's selection, such as "id,owners(emailAddress),a/b". ok is
// false when the brackets don't match.
func parseFields(text string) (tree fieldTree, ok bool) {
	tree, rest, ok := fieldList(text)
	return tree, ok && rest == ""
}

func fieldList(text string) (tree fieldTree, rest string, ok bool) {
	tree = make(fieldTree)
	for {
		end := strings.IndexAny(text, ",()")
		if end < 0 {
			end = len(text)
		}
		path := strings.TrimSpace(text[:end])
		text = text[end:]
		if path == "" {
			return tree, text, false
		}
		branch := tree
		for name := range strings.SplitSeq(path, "/") {
			if branch[name] == nil {
				branch[name] = make(fieldTree)
			}
			branch = branch[name]
		}
		if strings.HasPrefix(text, "(") {
			below, after, good := fieldList(text[1:])
			if !good || !strings.HasPrefix(after, ")") {
				return tree, after, false
			}
			for name, t := range below {
				branch[name] = t
			}
			text = after[1:]
		}
		if !strings.HasPrefix(text, ",") {
			return tree, text, true
		}
		text = text[1:]
	}
}

// selectFields leaves in a JSON body what was asked for.
func selectFields(body []byte, tree fieldTree) []byte {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if dec.Decode(&v) != nil {
		return body
	}
	return mustJSON(tree.of(v))
}

func (tree fieldTree) of(v any) any {
	if len(tree) == 0 || tree["*"] != nil && len(tree) == 1 && len(tree["*"]) == 0 {
		return v
	}
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = tree.of(v[i])
		}
		return v
	case map[string]any:
		out := make(map[string]any)
		for name, value := range v {
			if below, ok := tree[name]; ok {
				out[name] = below.of(value)
			} else if below, ok := tree["*"]; ok {
				out[name] = below.of(value)
			}
		}
		return out
	}
	return v
}
