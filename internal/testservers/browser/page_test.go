package browser

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// page is one tab, with everything that went wrong in it.
type page struct {
	t      *testing.T
	ctx    context.Context
	relay  *relay
	mu     sync.Mutex
	faults []string
	went   []string // addresses that answered with a redirect

	walked    map[string]string // an address of each screen that was checked, by its route
	templates map[string]bool   // that were checked
}

func (r *relay) open() *page {
	r.t.Helper()
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1200, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-background-networking", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("disable-sync", true)))
	r.t.Cleanup(cancel)
	p := &page{t: r.t, ctx: ctx, relay: r, walked: map[string]string{}, templates: map[string]bool{}}
	err := chromedp.Listen(ctx, func(event any) {
		fault := ""
		switch e := event.(type) {
		case *log.EventEntryAdded:
			// The browser writes each answer of 400 and above there; the tests look at them.
			if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork || e.Entry.Source == log.EntrySourceSecurity {
				fault = "log: " + e.Entry.Text
			}
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeWarning {
				var text []string
				for _, a := range e.Args {
					text = append(text, string(a.Value)+a.Description)
				}
				fault = "console: " + strings.Join(text, " ")
			}
		case *runtime.EventExceptionThrown:
			fault = "exception: " + e.ExceptionDetails.Text
		case *network.EventRequestWillBeSent:
			if e.RedirectResponse != nil {
				p.mu.Lock()
				p.went = append(p.went, e.RedirectResponse.URL)
				p.mu.Unlock()
			}
			if u, err := url.Parse(e.Request.URL); err != nil || u.Host != r.address && u.Scheme != "data" && u.Scheme != "about" {
				fault = "request outside: " + e.Request.URL
			}
		}
		if fault != "" {
			p.mu.Lock()
			p.faults = append(p.faults, fault)
			p.mu.Unlock()
		}
	})
	if err != nil {
		r.t.Fatal(err)
	}
	command(p, network.Enable, network.EnableParams{})
	command(p, log.Enable, cdp.Empty{})
	command(p, runtime.Enable, cdp.Empty{})
	return p
}

// forgive forgets the faults that hold a text.
func (p *page) forgive(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = slices.DeleteFunc(p.faults, func(fault string) bool { return strings.Contains(fault, text) })
}

// command sends one command of the protocol.
func command[P, R any](p *page, c cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, c, params); err != nil {
		p.t.Fatal(err)
	}
}

func (p *page) text() string {
	text, _ := chromedp.Run(p.ctx, chromedp.Evaluate[string]("document.body.innerText"))
	return text
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, time.Minute)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatalf("%v\n%s", err, p.text())
	}
}

// eval returns the value of a script.
func eval[T any](p *page, script string, o ...chromedp.EvaluateOption) T {
	p.t.Helper()
	v, err := chromedp.Run(p.ctx, chromedp.Evaluate[T](script, o...))
	if err != nil {
		p.t.Fatalf("%v\n%s", err, p.text())
	}
	return v
}

// until waits until a condition holds, over loads of pages.
func (p *page) until(condition string) {
	p.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		ok, err := chromedp.Run(p.ctx, chromedp.Evaluate[bool]("!!("+condition+")"))
		if ok {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("never: %s (%v)\n%s", condition, err, p.text())
		}
	}
}

func (p *page) visit(path string) {
	p.t.Helper()
	p.do(chromedp.Navigate("http://" + p.relay.address + path))
}

// sees waits until the page shows text.
func (p *page) sees(text string) {
	p.t.Helper()
	p.until(fmt.Sprintf("document.body && document.body.innerText.includes(%q)", text))
}

// click presses the first button or link whose text contains text, and waits for the
// next page.
func (p *page) click(text string) {
	p.t.Helper()
	find := fmt.Sprintf(`(() => { window.leaving = true; const all = [...document.querySelectorAll('button, a, summary')].filter(e => e.offsetParent); const e = all.find(e => e.innerText === %[1]q) || all.find(e => e.innerText.includes(%[1]q)); if (!e) throw new Error('no such button'); e.click(); return e.tagName })()`, text)
	if eval[string](p, find) != "SUMMARY" {
		p.until("!window.leaving && document.readyState === 'complete'")
	}
}

func (p *page) fill(selector, value string) {
	p.t.Helper()
	p.do(chromedp.SetValue(chromedp.CSS(selector), value))
}

func (p *page) signIn(role string) {
	p.t.Helper()
	p.visit("/ui/")
	p.do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), token(role)))
	p.click("Sign in")
	p.sees("Overview")
}

// violation is what axe-core finds.
type violation struct {
	ID, Impact, Help string
	Nodes            []struct{ HTML, FailureSummary string }
}

// checked looks for faults, and for serious ones that axe-core finds in both colour
// schemes.
func (p *page) checked(name string) {
	p.t.Helper()
	axe := os.Getenv("AUDITRELAY_AXE")
	for _, scheme := range []string{"light", "dark"} {
		command(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
		if dir := os.Getenv("AUDITRELAY_SCREENSHOTS"); dir != "" && scheme == "light" {
			picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
			if err != nil {
				p.t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, name+".png"), small(p.t, picture), 0o644); err != nil {
				p.t.Fatal(err)
			}
		}
		if axe == "" {
			continue
		}
		source, err := os.ReadFile(axe)
		if err != nil {
			p.t.Fatal(err)
		}
		eval[chromedp.Void](p, string(source)+";0")
		violations := eval[[]violation](p, "axe.run(document, {resultTypes: ['violations']}).then(r => r.violations)", chromedp.EvalAwaitPromise)
		for _, v := range violations {
			if v.Impact == "serious" || v.Impact == "critical" {
				p.t.Errorf("%s, %s: %s: %s: %s", name, scheme, v.ID, v.Help, v.Nodes[0].HTML+" "+v.Nodes[0].FailureSummary)
			}
		}
	}
	p.note()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, fault := range p.faults {
		p.t.Errorf("%s: %s", name, fault)
	}
	p.faults = nil
}

// routes are the screens that testdata/screens.txt lists. The page's own tests hold the list
// against the page.
func routes(t *testing.T) (all []string) {
	t.Helper()
	text, err := os.ReadFile("testdata/screens.txt")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// route is the screen that an address belongs to; empty: none.
func (p *page) route(address string) string {
	p.t.Helper()
	mux := http.NewServeMux()
	for _, r := range routes(p.t) {
		mux.HandleFunc("GET "+r, func(http.ResponseWriter, *http.Request) {})
	}
	req, err := http.NewRequest(http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	_, pattern := mux.Handler(req)
	return strings.TrimPrefix(pattern, "GET ")
}

// note remembers which screen was checked.
func (p *page) note() {
	p.t.Helper()
	at := eval[string](p, "location.pathname + location.search")
	p.templates[eval[string](p, "document.body.dataset.screen || ''")] = true
	if route := p.route(at); route != "" {
		p.walked[route] = at
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, address := range p.went {
		if route := p.route(address); route != "" && p.walked[route] == "" && strings.Contains(address, "?") {
			p.walked[route] = "" // it shows nothing itself
		}
	}
}

// walkedAll fails unless every screen, and every template, was checked but for those of
// except.
func (p *page) walkedAll(except ...string) {
	p.t.Helper()
	for _, route := range routes(p.t) {
		if _, ok := p.walked[route]; !ok && !slices.Contains(except, route) {
			p.t.Errorf("the screen %s was not looked at", route)
		}
	}
	all, err := filepath.Glob(filepath.Join(p.relay.repo, "cli/internal/ui/templates/*.html"))
	if err != nil || len(all) < 20 {
		p.t.Fatal("the templates are elsewhere: ", len(all), err)
	}
	for _, file := range all {
		name := strings.TrimSuffix(filepath.Base(file), ".html")
		if !p.templates[name] && name != "layout" && !slices.Contains(except, name) {
			p.t.Errorf("what the template %s shows was not looked at", name)
		}
	}
}

// small writes a picture with the 256 colours that it has most of.
func small(t *testing.T, full []byte) []byte {
	t.Helper()
	picture, err := png.Decode(bytes.NewReader(full))
	if err != nil {
		t.Fatal(err)
	}
	counts := map[color.RGBA]int{}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			counts[color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)]++
		}
	}
	most := slices.SortedFunc(maps.Keys(counts), func(a, b color.RGBA) int { return counts[b] - counts[a] })
	palette := color.Palette{}
	for _, c := range most[:min(len(most), 64)] {
		palette = append(palette, c)
	}
	reduced := image.NewPaletted(picture.Bounds(), palette)
	known := map[color.RGBA]uint8{}
	for y := range picture.Bounds().Dy() {
		for x := range picture.Bounds().Dx() {
			c := color.RGBAModel.Convert(picture.At(x, y)).(color.RGBA)
			index, ok := known[c]
			if !ok {
				index = uint8(palette.Index(c))
				known[c] = index
			}
			reduced.SetColorIndex(x, y, index)
		}
	}
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, reduced); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}
