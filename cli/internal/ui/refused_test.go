package ui

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestRefusedForms: the answer to an invalid form names the user's mistake, and does not call it a
// failure of the relay.
func TestRefusedForms(t *testing.T) {
	m := newMany(t, 3, "")
	m.grow(10)
	post := func(path, kind string, body io.Reader) (int, string) {
		t.Helper()
		req := httptest.NewRequest(http.MethodPost, "http://127.0.0.1"+path, body)
		req.RemoteAddr = "127.0.0.1:1"
		req.Header.Set("Content-Type", kind)
		req.Header.Set("Sec-Fetch-Site", "same-origin")
		out := httptest.NewRecorder()
		m.handler.ServeHTTP(out, req)
		return out.Code, out.Body.String()
	}
	const form = "application/x-www-form-urlencoded"
	for _, c := range []struct {
		path, form string
		status     int
		says       string
	}{
		{"/ui/callbacks/archive/replay", "from=5&to=2", http.StatusBadRequest, "the range ends before it begins"},
		{"/ui/callbacks/archive/replay", "from=1000000", http.StatusBadRequest, "the range ends before it begins"},
		{"/ui/callbacks/archive/replay", "from=x", http.StatusBadRequest, "field from"},
		{"/ui/callbacks/archive/state", "do=pause&reason=" + strings.Repeat("x", maxForm), http.StatusRequestEntityTooLarge, "too large"},
	} {
		if status, page := post(c.path, form, strings.NewReader(c.form)); status != c.status || !strings.Contains(page, c.says) {
			t.Errorf("%s %.40s: %d %s", c.path, c.form, status, page)
		}
	}
	const begin = "--x\r\nContent-Disposition: form-data; name=\"module\"; filename=\"a.wasm\"\r\n\r\n"
	large := io.MultiReader(strings.NewReader(begin), io.LimitReader(zeros{}, maxUpload), strings.NewReader("\r\n--x--\r\n"))
	if status, page := post("/ui/modules", "multipart/form-data; boundary=x", large); status != http.StatusRequestEntityTooLarge || !strings.Contains(page, "64.0 MiB") {
		t.Errorf("a module that is too large: %d %s", status, page)
	}
	none := "--x\r\nContent-Disposition: form-data; name=\"name\"\r\n\r\na\r\n--x--\r\n"
	if status, page := post("/ui/modules", "multipart/form-data; boundary=x", strings.NewReader(none)); status != http.StatusBadRequest || !strings.Contains(page, "no file was sent") {
		t.Errorf("no module: %d %s", status, page)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
