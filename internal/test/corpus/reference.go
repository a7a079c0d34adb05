package corpus

import (
	"strconv"
	"strings"
)

// reference is the event of the published figures. The reference guests and floors use it; its
// updated_values is an object with a password.
const reference = `{"id": "7c9e6679-7425-40de-944b-0000000000000000", "updated_at": "2025-06-01T08:00:00.123456+00:00", ` +
	`"changed_by": "user-8f14e45f", "changed_by_api_key": "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b", ` +
	`"action": "updated", "table_name": "LiteLLM_TeamTable", "object_id": "team-9bf31c7ff062936a", ` +
	`"before_value": {"team_alias": "search-relevance", "max_budget": 100.0, "spend": 42.170535, "models": ["gpt-4o", "claude-sonnet-4"], "tpm_limit": 60000, "rpm_limit": 600, "blocked": false}, ` +
	`"updated_values": {"team_alias": "search-relevance", "max_budget": 250.0, "models": ["gpt-4o", "gpt-4o-mini", "claude-sonnet-4"], "tpm_limit": 120000, "rpm_limit": 1200, "password": "correct-horse-battery-staple", "metadata": {"cost_center": "cc-4711", "owner": "search@example.com", "note": "raised for the launch; see \"Q3 plan\""}, "blocked": false}}`

// referenceDigits is the position of the id's last sixteen digits in reference.
const referenceDigits = len(`{"id": "7c9e6679-7425-40de-944b-`)

// Reference returns one event of 0.9 KB. It is always the same.
func Reference() []byte { return []byte(reference) }

// AppendReference appends the reference event with a different id for each n.
func AppendReference(dst []byte, n uint64) []byte {
	start := len(dst)
	dst = append(dst, reference...)
	var room [16]byte
	digits := strconv.AppendUint(room[:0], n, 16)
	copy(dst[start+referenceDigits+16-len(digits):], digits)
	return dst
}

// AppendReferenceText is like AppendReference, with updated_values in LiteLLM's form: JSON text
// in a string.
func AppendReferenceText(dst []byte, n uint64) []byte {
	event := string(AppendReference(nil, n))
	before, values, _ := strings.Cut(event, `"updated_values": `)
	values = strings.TrimSuffix(values, "}")
	dst = append(append(dst, before...), `"updated_values": "`...)
	return append(appendText(dst, values), `"}`...)
}
