package delivery

import (
	"encoding/json"

	"auditrelay"
)

// Bare returns the data of an own record without any text that a user or the configuration
// chose. The remaining values are from closed sets, apart from an id and a time.
func Bare(e *auditrelay.Event) []byte {
	const masked = "***"
	var from struct {
		UpdatedAt string `json:"updated_at"`
		Table     string `json:"table_name"`
		Control   struct {
			Act     string `json:"act"`
			Outcome string `json:"outcome"`
			Of      string `json:"of,omitempty"`
		} `json:"control"`
	}
	_ = json.Unmarshal(e.Data, &from) // own records are always valid; a missing field stays empty
	out := struct {
		ID        string `json:"id"`
		UpdatedAt string `json:"updated_at"`
		ChangedBy string `json:"changed_by"`
		APIKey    string `json:"changed_by_api_key"`
		Action    string `json:"action"`
		Table     string `json:"table_name"`
		Object    string `json:"object_id"`
		Before    any    `json:"before_value"`
		After     any    `json:"updated_values"`
		Control   any    `json:"control"`
	}{ID: e.ID, UpdatedAt: from.UpdatedAt, ChangedBy: masked, Action: string(e.Action), Table: from.Table, Object: masked, Control: from.Control}
	data, err := json.Marshal(out)
	if err != nil { // cannot fail: all fields are strings
		return []byte("{}")
	}
	return data
}
