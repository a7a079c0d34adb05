package api

import "time"

// SavedSearch is a named search of the store. Query has the parameters of GET /audit, encoded
// as in a URL.
type SavedSearch struct {
	Name  string    `json:"name"`
	Query string    `json:"query"`
	By    string    `json:"by"` // the user
	Saved time.Time `json:"saved"`
}

// SaveSearch saves a search, replacing one with the same name.
type SaveSearch struct {
	Name   string `json:"name"` // 1 to 64 printable characters, no slash
	Query  string `json:"query"`
	Reason string `json:"reason,omitempty"` // in the user's words
}

// ForgetSearch deletes a saved search.
type ForgetSearch struct {
	Name   string `query:"name"`
	Reason string `query:"reason"` // in the user's words
}
