package ui

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"auditrelay/cli/internal/api"
	"auditrelay/config"

	"golang.org/x/net/html"
)

// corpus contains texts that a browser would run if a screen forgot to escape them.
var corpus = []string{
	hostile,
	`</title></textarea></pre></svg></option></select><script>alert(1)</script>`,
	`" autofocus onfocus=alert(1) x="`, `' onmouseover='alert(1)`, "` onload=`alert(1)",
	"javascript:alert(1)", "data:text/html,<script>alert(1)</script>", "//evil.example/", "/\\evil.example",
	`<svg><a xlink:href="javascript:alert(1)"><text>x</text></a></svg>`, `<template hx-get="//evil.example" hx-trigger="load"></template>`,
	`<div hx-on:click="alert(1)" hx-vals='js:{a:alert(1)}'>`, "<!--><script>alert(1)</script>-->", "]]><script>alert(1)</script>",
	"{{.}}{{template \"layout.html\" .}}", "\x00<script>\u2028alert(1)\u2029</script>", "<scr\x00ipt>alert(1)</script>", "\u202e<b>x</b>", "<img/src=x\tonerror=alert(1)>",
}

// views are the contents of the templates.
var views = map[string]any{
	"approvals": approvalsView{}, "bare": "", "callback": callbackView{}, "completeness": completenessView{}, "control": controlView{}, "dead-letter": api.DeadLetter{},
	"dead-letters": deadLettersView{}, "event": eventView{}, "failure": &api.Error{}, "module": moduleView{}, "module-check": moduleCheckView{},
	"modules": modulesView{}, "overview": overviewView{}, "policies": policiesView{}, "policy": policyView{}, "quarantine": quarantineView{},
	"quarantined": api.QuarantineContents{}, "report": reportView{}, "rollouts": rolloutsView{}, "fleet": fleetView{}, "shadow": shadowView{}, "shadows": shadowsView{}, "sign-in": signInView{}, "sink-test": api.SinkTest{},
	"tap": tapView{}, "store": storeView{}, "try": tryView{}, "undelivered": undeliveredView{},
}

// fill puts the text into every string in v, and into every list and pointer that can hold one.
func fill(v reflect.Value, text string, yes bool, depth int) {
	if depth > 12 {
		return
	}
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Unix(1769860800, 0)))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Bool:
		v.SetBool(yes)
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		v.SetInt(1)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(1)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		fill(v.Elem(), text, yes, depth+1)
	case reflect.Slice:
		if v.Type().Elem().Kind() == reflect.Uint8 {
			v.SetBytes([]byte(text))
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(v.Index(i), text, yes, depth+1)
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(key, text, yes, depth+1)
		fill(value, text, yes, depth+1)
		v.SetMapIndex(key, value)
	case reflect.Struct:
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				fill(v.Field(i), text, yes, depth+1)
			}
		}
	}
}

// runs returns the parts of a page that a browser would run, or load from elsewhere.
func runs(page string) (found []string) {
	z := html.NewTokenizer(strings.NewReader(page))
	for {
		switch kind := z.Next(); kind {
		case html.ErrorToken:
			return found
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			switch t.Data {
			case "img", "iframe", "object", "embed", "base", "style", "template", "b", "foreignobject", "animate":
				found = append(found, "<"+t.Data+">")
			}
			src := false
			for _, a := range t.Attr {
				src = src || a.Key == "src" && strings.HasPrefix(a.Val, "/ui/assets/")
				switch {
				case strings.HasPrefix(a.Key, "on"), strings.HasPrefix(a.Key, "hx-on"), a.Key == "style", a.Key == "hx-vals", a.Key == "autofocus", a.Key == "srcdoc":
					found = append(found, t.Data+" "+a.Key)
				case a.Key == "href", a.Key == "src", a.Key == "action", a.Key == "formaction", a.Key == "hx-get", a.Key == "sse-connect", a.Key == "xlink:href":
					u, err := url.Parse(a.Val)
					if err != nil || u.Scheme != "" || u.Host != "" || strings.HasPrefix(a.Val, "//") || strings.Contains(a.Val, `\`) || !strings.HasPrefix(a.Val, "/ui/") && !strings.HasPrefix(a.Val, "#") {
						found = append(found, fmt.Sprintf("%s %s=%.80q", t.Data, a.Key, a.Val))
					}
				}
			}
			if t.Data == "script" && !src {
				found = append(found, "<script>")
			}
		}
	}
}

// TestEveryFieldIsEscaped puts each text of the corpus into every field of every screen.
// A template without a view in the table fails.
func TestEveryFieldIsEscaped(t *testing.T) {
	s := &server{Options: Options{Logger: slog.New(slog.DiscardHandler), now: time.Now}}
	s.assets = loadAssets()
	s.templates = s.loadTemplates()
	all := api.Principal{Name: hostile, Roles: []string{"ingest", "view", "comply", "operate", "admin"}}
	for name, template := range s.templates {
		view, ok := views[name]
		if !ok {
			t.Errorf("template %s has no view in the table", name)
			continue
		}
		for i, text := range corpus {
			for _, yes := range []bool{true, false} {
				if i > 0 && yes == (i%2 == 0) {
					continue // one of both is enough
				}
				content := reflect.New(reflect.TypeOf(view)).Elem()
				fill(content, text, yes, 0)
				if tap, ok := content.Addr().Interface().(*tapView); ok {
					tap.Stream = "/ui/tap/stream?" + api.Query(tap.TapQuery).Encode() // as the screen makes it
				}
				if in, ok := content.Addr().Interface().(*signInView); ok {
					in.Next = next(text) // as the screen makes it
				}
				v := &visit{server: s, who: all, r: httptest.NewRequest(http.MethodGet, "/ui/?x="+url.QueryEscape(text), nil)}
				if store, ok := content.Addr().Interface().(*storeView); ok {
					store.Next = "/ui/store?cursor=" + url.QueryEscape(text) // as the screen makes it
				}
				p := &page{Title: text, Path: "/ui/", URL: "/ui/?x=" + url.QueryEscape(text), Who: all, Signed: true, Live: yes, Version: text, Content: content.Interface(), v: v}
				var out bytes.Buffer
				if err := template.ExecuteTemplate(&out, "layout.html", p); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if found := runs(out.String()); found != nil {
					t.Errorf("%s, %q: %v", name, text, found)
				}
			}
		}
	}
	for _, text := range corpus {
		line := api.TapLine{}
		fill(reflect.ValueOf(&line).Elem(), text, true, 0)
		var out bytes.Buffer
		if err := s.templates["tap"].ExecuteTemplate(&out, "line", line); err != nil || runs(out.String()) != nil {
			t.Errorf("a line of the tap, %q: %v %v", text, runs(out.String()), err)
		}
	}
	if found := runs("<p>" + hostile + "</p><a href='javascript:x' onclick=y>"); len(found) < 4 {
		t.Errorf("the test overlooks what it looks for: %v", found)
	}
}

// TestUnseenCharactersAreShown: text shows invisible characters, and those that change the order of
// a line, by their codes. Form fields keep them.
func TestUnseenCharactersAreShown(t *testing.T) {
	for in, want := range map[string]string{
		"<p>by \u202eecila</p>":                      "<p>by [U+202E]ecila</p>",
		"<td>ad\u200bmin</td><td>\ufeff</td>":        "<td>ad[U+200B]min</td><td>[U+FEFF]</td>",
		"<input value=\"\u202ex\"> \u2066y":          "<input value=\"\u202ex\"> [U+2066]y",
		"<textarea>a\u202eb</textarea><i>\u202e</i>": "<textarea>a\u202eb</textarea><i>[U+202E]</i>",
		"<p>\x1b[31mred\b\u009b</p>\r\n\t":           "<p>[U+001B][31mred[U+0008][U+009B]</p>\r\n\t",
		"\u202e":                                     "[U+202E]", "<a \u202e": "<a \u202e", "<p>à – …</p>": "<p>à – …</p>", "": "",
	} {
		if got := string(shown([]byte(in))); got != want {
			t.Errorf("%q: %q", in, got)
		}
	}
	for _, r := range []rune{0x01, 0x08, 0x0c, 0x1b, 0x1f, 0x7f, 0x80, 0x9b, 0x9f, 0x00ad, 0x034f, 0x061c, 0x115f, 0x180b, 0x180e, 0x200b, 0x200c, 0x200d, 0x200e, 0x200f, 0x202a, 0x2060, 0x2061, 0x2062,
		0x2063, 0x2064, 0x2066, 0x206f, 0x3164, 0xfe00, 0xfe0f, 0xfeff, 0xfff9, 0x1bca0, 0xe0000, 0xe0001, 0xe0041, 0xe007f, 0xe0100} {
		in, want := fmt.Sprintf("<p>ad%cmin</p>", r), fmt.Sprintf("<p>ad[U+%04X]min</p>", r)
		if got := string(shown([]byte(in))); got != want {
			t.Errorf("U+%04X alone in a page: %q", r, got)
		}
	}
	r := newRelay(t, config.RoleAdmin)
	r.submit("turned\u202earound", "created")
	b := r.browser()
	b.signIn("admin")
	for _, path := range []string{"/ui/events?id=turned%E2%80%AEaround", "/ui/dead-letters"} {
		if _, page, _ := b.do("GET", path, nil); !strings.Contains(page, "turned[U+202E]around") {
			t.Errorf("%s does not show the character", path)
		}
	}
}
