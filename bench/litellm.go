package main

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Imitations of LiteLLM's maskers, written from a description (autumn 2026), since the real
// ones are in Python. Only the first one processes audit events.

// auditMasker masks members whose name, split at _ and -, has a segment key and no segment
// cost. It keeps 4 + 4 characters, and none of values up to 8. Numbers and booleans become
// masked text. Texts in a list under such a name are masked. Objects are entered up to ten
// levels deep. It works on the values before they are encoded as text, and does not look inside
// texts.
func auditMasker(event []byte) ([]byte, error) {
	var v map[string]any
	if err := json.Unmarshal(event, &v); err != nil {
		return nil, err
	}
	for _, field := range []string{"before_value", "updated_values"} {
		text, isText := v[field].(string)
		inner, is := v[field]
		if !is || isText && json.Unmarshal([]byte(text), &inner) != nil {
			continue // it was no text when it was masked
		}
		masked := maskTree(inner, 10)
		if isText {
			b, err := json.Marshal(masked)
			if err != nil {
				return nil, err
			}
			v[field] = string(b)
			continue
		}
		v[field] = masked
	}
	return json.Marshal(v)
}

func maskTree(v any, levels int) any {
	object, ok := v.(map[string]any)
	if !ok || levels == 0 {
		return v
	}
	for name, value := range object {
		switch value := value.(type) {
		case map[string]any:
			object[name] = maskTree(value, levels-1)
		case []any:
			for i, e := range value {
				if text, ok := e.(string); ok && hasKey(name) {
					value[i] = fourAndFour(text)
				} else {
					value[i] = maskTree(e, levels-1)
				}
			}
		case nil:
		default:
			if hasKey(name) {
				object[name] = fourAndFour(fmt.Sprint(value))
			}
		}
	}
	return object
}

func hasKey(name string) bool {
	segments := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return r == '_' || r == '-' })
	return slices.Contains(segments, "key") && !slices.Contains(segments, "cost")
}

func fourAndFour(s string) string {
	if len(s) <= 8 {
		return strings.Repeat("*", len(s))
	}
	return s[:4] + strings.Repeat("*", len(s)-8) + s[len(s)-4:]
}

// logRedactor is one expression over a text, in any case. Matches become REDACTED. LiteLLM uses
// it for logs and exceptions, not for audit events.
var logRedactor = regexp.MustCompile(`(?i)` + strings.Join([]string{
	`-----BEGIN[A-Z ]*PRIVATE KEY-----[\s\S]*?-----END[A-Z ]*PRIVATE KEY-----`,
	`ya29\.[A-Za-z0-9_-]+`,
	`(?:AKIA|ASIA)[0-9A-Z]{16}`,
	`aws_(?:secret_access_key|session_token)["'\s:=]+[A-Za-z0-9/+=]{20,}`,
	`(?:Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{10,}`,
	`sk-[A-Za-z0-9_-]{16,}`,
	`x-ak-[A-Za-z0-9]{20,}`,
	`AIza[A-Za-z0-9_-]{35}`,
	`[?&]key=[^&\s"']+`,
	`://[^:@/\s"]+:[^@/\s"]+@`,
	`dapi[0-9a-f]{32}`,
	`eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`,
	`sig=[A-Za-z0-9%+/=]+`,
	`(?:api_key|x-api-key|[a-z_]*password|[a-z_]*passwd|client_secret|[a-z_]*secret_key|[a-z_]*_secret|litellm[a-z_]*_key|private_key|master_key|xai_key|database_url|db_url|connection_string|signing_key|encryption_key|(?:auth|access|refresh)_token|webhook_url|huggingface_token|jwt_secret)\\?["']?\s*[:=]\s*\\?["']?[^\s"',;}\\]+`,
}, "|"))

func redactor(event []byte) ([]byte, error) {
	return logRedactor.ReplaceAll(event, []byte("REDACTED")), nil
}
