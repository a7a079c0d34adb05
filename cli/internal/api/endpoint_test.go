package api

import (
	"net/url"
	"testing"
)

func TestURLFillsParameters(t *testing.T) {
	for _, row := range []struct{ got, want string }{
		{GetDeadLetter.URL("a/b ", "7"), "/v1/callbacks/a%2Fb%20/dead-letters/7"},
		{GetDeadLetter.URL("{sequence}", "7"), "/v1/callbacks/%7Bsequence%7D/dead-letters/7"},
		{GetStats.URL(), "/v1/stats"},
	} {
		if row.got != row.want {
			t.Errorf("%s, want %s", row.got, row.want)
		}
	}
}

// What a client asks for is what the server reads.
func TestQueriesTravel(t *testing.T) {
	want := QuarantineQuery{After: 7, Limit: 3, Reason: "a&b", Source: "s3"}
	var got QuarantineQuery
	if refused := ReadQuery(Query(want), &got); refused != nil || got != want {
		t.Errorf("%+v, %v", got, refused)
	}
	var event EventQuery
	if refused := ReadQuery(Query(EventQuery{ID: "..", Data: true}), &event); refused != nil || event.ID != ".." || !event.Data {
		t.Errorf("%+v, %v", event, refused)
	}
	if q := Query(QuarantineQuery{}); len(q) != 0 {
		t.Errorf("nothing asked for became %v", q)
	}
	for raw, want := range map[string]string{
		"limit=0": "limit: expected a number above 0", "limit=x": "limit: expected a number above 0", "after=-1": "after: expected a number",
		"after=1&after=2": "after: given 2 times", "reson=x": `"reson": no such parameter`,
	} {
		query, err := url.ParseQuery(raw)
		if err != nil {
			t.Fatal(err)
		}
		if refused := ReadQuery(query, &QuarantineQuery{}); refused == nil || refused.Message != want || refused.Status != 400 {
			t.Errorf("%s: %v, want %s", raw, refused, want)
		}
	}
}
