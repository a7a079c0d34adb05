package api

// LookUp asks POST /v1/pseudonyms for the pseudonyms of a value.
type LookUp struct {
	// Value as it stands in an event: a string's text, any other value's JSON.
	Value    string `json:"value"`
	Callback string `json:"callback,omitempty"` // of this one only
	Key      string `json:"key,omitempty"`      // under this one only
}

// LookedUp answers a LookUp.
type LookedUp struct {
	Pseudonyms []Pseudonym `json:"pseudonyms"`
}

// Pseudonym is a value's under one version of a key that a filter uses.
type Pseudonym struct {
	Callback string `json:"callback,omitempty"` // empty: of all, since the filter stands before the journal
	Filter   string `json:"filter"`
	Key      string `json:"key"`
	Version  int    `json:"version"` // 0: the key stands, or stood, without versions
	Current  bool   `json:"current"` // new pseudonyms are made with it
	// Pseudonym is empty where the version was destroyed: what it made cannot be
	// found by its value any more.
	Pseudonym string `json:"pseudonym,omitempty"`
	Destroyed bool   `json:"destroyed,omitempty"`
}
