package ui

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	"auditrelay/cli/internal/api"
)

// searchFields are the fields of the screen Store. Their names are the parameters of the
// search.
var searchFields = []searchField{
	{"id", "Event id", ""}, {"changed_by", "Changed by", ""}, {"action", "Action", ""}, {"table_name", "Table", ""},
	{"object_id", "Object", ""}, {"start_date", "From", ""}, {"end_date", "To, included", ""},
}

type searchField struct{ Name, Title, Value string }

type storeView struct {
	Fields  []searchField
	Query   string // as in the address, without the cursor
	Saved   []api.SavedSearch
	Asked   bool
	Records []storedRecord
	Total   int64
	Exact   bool
	Next    string     // the address of the next page
	Missing *api.Error // reason why there is nothing to search
}

// storedRecord is a stored record as the screen shows it.
type storedRecord struct {
	ID     string `json:"id"`
	At     string `json:"updated_at"`
	By     string `json:"changed_by"`
	Action string `json:"action"`
	Table  string `json:"table_name"`
	Object string `json:"object_id"`
	Text   string `json:"-"` // the whole record
}

// store searches the store and lists the saved searches.
func (v *visit) store() error {
	q := v.r.URL.Query()
	out := storeView{}
	query := url.Values{}
	for _, f := range searchFields {
		f.Value = strings.TrimSpace(q.Get(f.Name))
		if out.Fields = append(out.Fields, f); f.Value != "" {
			query.Set(f.Name, f.Value)
		}
	}
	out.Query, out.Asked = query.Encode(), len(q) > 0
	var err error
	if out.Saved, err = v.api.Searches(v.r.Context()); err != nil {
		return err
	}
	if !out.Asked {
		return v.show("store", "Store", out)
	}
	query.Set("page_size", "50")
	if cursor := q.Get("cursor"); cursor != "" {
		query.Set("cursor", cursor)
	}
	page, err := v.api.Audit(v.r.Context(), query)
	if refused := apiError(err); refused != nil && refused.Status == http.StatusNotImplemented {
		out.Missing, err = refused, nil
	}
	if err != nil {
		return err
	}
	for _, text := range page.Logs {
		r := storedRecord{Text: string(text)}
		_ = json.Unmarshal(text, &r) // text that is not JSON is shown as it is
		out.Records = append(out.Records, r)
	}
	out.Total, out.Exact = page.Total, page.TotalExact
	if page.NextCursor != "" {
		next := url.Values{}
		for name := range query {
			if name != "page_size" {
				next.Set(name, query.Get(name))
			}
		}
		next.Set("cursor", page.NextCursor)
		out.Next = "/ui/store?" + next.Encode()
	}
	return v.show("store", "Store", out)
}

// saveSearch saves or deletes a search.
func (v *visit) saveSearch() error {
	form := v.r.PostForm
	name := strings.TrimSpace(form.Get("name"))
	switch form.Get("do") {
	case "save":
		query := form.Get("query")
		if _, err := v.api.SaveSearch(v.r.Context(), api.SaveSearch{Name: name, Query: query, Reason: v.why().Reason}); err != nil {
			return err
		}
		return v.done("/ui/store?"+query, "search-saved", -1)
	case "delete":
		if err := v.api.ForgetSearch(v.r.Context(), api.ForgetSearch{Name: name, Reason: v.why().Reason}); err != nil {
			return err
		}
		return v.done("/ui/store", "search-deleted", -1)
	}
	return badForm("do")
}
