// Package browser drives the relay's page with a real browser, in a module of its own so
// that users do not inherit the dependency. scripts/test-page runs it.
package browser

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// repository is the root of the checkout.
func repository(t *testing.T) string {
	t.Helper()
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	return root
}

// hostile is text that a browser would run if a screen forgot to escape it.
const hostile = `"><script>document.title='run'</script><img src=x onerror=alert(1)>`

func token(role string) string { return role + "-token-7f3a91c04be2d586" }

// relay is the real program on a configuration with every kind of thing to look at.
type relay struct {
	t             *testing.T
	dir, address  string
	s3            string
	process       *exec.Cmd
	log           *bytes.Buffer
	repo, program string
}

// tokens are those of the configuration, one for each role.
func tokens() string {
	var all strings.Builder
	all.WriteString("tokens:\n")
	for _, role := range []string{"ingest", "view", "comply", "operate", "admin"} {
		fmt.Fprintf(&all, "  - {name: %s, token: %s, roles: [%s]}\n", role, token(role), role)
	}
	return all.String()
}

func start(t *testing.T) *relay {
	t.Helper()
	return startOn(t, `listen: 127.0.0.1:0
ingest:
  s3:
    listen: 127.0.0.1:0
    keys: [{name: litellm, access_key_id: AKIDEXAMPLE, secret_access_key: a-secret-of-sufficient-length}]
    buckets: [audit]
tap: {enabled: true}
approvals: {detach: 2}
`+tokens()+`filters:
  rules: {module: rules}
  mask: {redact: {rules: [{paths: [changed_by], do: mask}]}}
callbacks:
  - {name: archive, chunk: {age: 1ms}, sink: {file: {path: out/archive.ndjson}}}
  - {name: guarded, chunk: {age: 1ms}, filters: [rules], sink: {file: {path: out/guarded.ndjson}}}
  - {name: masked, chunk: {age: 1ms}, filters: [mask], sink: {file: {path: out/masked.ndjson}}}
  - {name: store, chunk: {age: 1ms}, sink: {sqlite: {}}}
  - {name: withheld, chunk: {age: 1ms}, must_not_leave: {paths: [changed_by]}, sink: {file: {path: out/withheld.ndjson}}}
  - {name: down, chunk: {age: 1ms}, sink: {webhook: {url: "http://127.0.0.1:9/", http: {allow_networks: [loopback]}}}}
`)
}

// startOn starts the program on a configuration.
func startOn(t *testing.T, config string) *relay {
	t.Helper()
	r := &relay{t: t, dir: t.TempDir(), repo: repository(t), program: os.Getenv("AUDITRELAY_BIN"), log: &bytes.Buffer{}}
	if r.program == "" {
		t.Fatal("AUDITRELAY_BIN does not name the program: run scripts/test-page")
	}
	if err := os.WriteFile(filepath.Join(r.dir, "auditrelay.yaml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	addresses := filepath.Join(r.dir, "address")
	r.process = exec.Command(r.program, "serve", "auditrelay.yaml", "--address-file", addresses)
	r.process.Dir, r.process.Stderr = r.dir, r.log
	if err := r.process.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		_ = r.process.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		_ = r.process.Process.Kill()
		<-ended
		if t.Failed() {
			t.Log(r.log.String())
		}
	})
	for deadline := time.Now().Add(time.Minute); r.address == ""; time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(addresses); err == nil && bytes.HasSuffix(b, []byte("\n")) {
			r.address = strings.TrimSpace(string(b))
		}
		select {
		case <-ended:
			t.Fatal("the relay ended")
		default:
			if time.Now().After(deadline) {
				t.Fatal("the relay did not start")
			}
		}
	}
	return r
}

// run runs the program's command line against the relay.
func (r *relay) run(stdin string, args ...string) string {
	r.t.Helper()
	c := exec.Command(r.program, args...)
	c.Dir, c.Stdin = r.dir, strings.NewReader(stdin)
	c.Env = append(os.Environ(), "AUDITRELAY_SERVER=http://"+r.address, "AUDITRELAY_TOKEN="+token("admin"))
	out, err := c.CombinedOutput()
	if err != nil {
		r.t.Fatalf("auditrelay %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func event(id, by string) string {
	b, _ := json.Marshal(map[string]any{
		"id": id, "updated_at": "2026-01-31T12:00:00+00:00", "changed_by": by, "changed_by_api_key": "k", "action": "created",
		"table_name": "LiteLLM_TeamTable", "object_id": "o", "before_value": nil, "updated_values": `{"alias":"blue"}`,
	})
	return string(b) + "\n"
}

// quarantine leaves one broken object behind, as LiteLLM's S3 logger would send it.
func (r *relay) quarantine() {
	r.t.Helper()
	address := ""
	for _, line := range strings.Split(r.log.String(), "\n") {
		if strings.Contains(line, "S3") || strings.Contains(line, "s3") {
			if _, rest, ok := strings.Cut(line, "address="); ok {
				address, _, _ = strings.Cut(rest, " ")
			}
		}
	}
	if address == "" {
		r.t.Fatalf("the log does not tell the S3 address:\n%s", r.log)
	}
	c := exec.Command("python3", filepath.Join(r.repo, "cli/internal/sources/s3/testdata/litellm_s3.py"), "http://"+strings.Trim(address, `"`), "audit")
	c.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=a-secret-of-sufficient-length", "AWS_REGION=us-west-2")
	c.Stdin = strings.NewReader(`{"key":"audit_logs/2026-01-31/00-00-00_broken.json","events":[{"id":"broken","action":7,"note":"<script>1</script>"}]}` + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		r.t.Fatalf("%v\n%s", err, out)
	}
}

// TestOperatorsDay does what operators do with the page, from signing in to signing out.
func TestOperatorsDay(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("chromium is missing")
		}
		t.Skip("chromium is missing")
	}
	r := start(t)
	r.run(event("e1", "alice")+event(hostile, hostile), "send", "-")
	r.quarantine()
	p := r.open()

	p.visit("/ui/")
	p.sees("Sign in")
	p.checked("sign-in")
	p.do(chromedp.SendKeys(chromedp.CSS("input[name=token]"), "not-a-token-at-all-000"))
	p.click("Sign in")
	p.sees("refused the token")
	p.signIn("admin")
	p.sees("guarded")
	p.checked("overview")

	// The page follows what happens without being loaded again.
	eval[chromedp.Void](p, "window.kept = true; window.before = [...document.querySelectorAll('tr')].find(r => r.innerText.startsWith('archive')).innerText; 0")
	r.run(event("e2", "bob")+event("e3", "bob"), "send", "-")
	p.until("[...document.querySelectorAll('tr')].find(r => r.innerText.startsWith('archive')).innerText !== window.before")
	p.until("window.kept === true")
	p.checked("overview-live")

	p.visit("/ui/callbacks/archive")
	p.click("Pause")
	p.sees("Paused. Events are kept")
	p.checked("callback-paused")
	p.click("Resume")
	p.sees("Resumed.")
	p.sees("no limit: events are kept")
	p.until("document.querySelector('svg.graph text').textContent === 'journal'")
	p.click("Replay events")
	p.click("Replay")
	p.sees("the replay would deliver")
	p.click("Replay events")
	p.do(chromedp.Click(chromedp.CSS("input[name=dry_run]")))
	p.click("Replay")
	p.sees("Replay started")
	p.until("[...document.querySelectorAll('progress')].some(b => b.max > 0 && b.value === b.max)")
	p.checked("callback-replay")
	p.click("Send a test event")
	p.sees("Delivered.")
	p.checked("sink-test")

	// A replay that does not end is cancelled.
	p.visit("/ui/callbacks/down")
	p.click("Replay events")
	p.do(chromedp.Click(chromedp.CSS("input[name=dry_run]")))
	p.click("Replay")
	p.sees("Replay started")
	p.until("[...document.querySelectorAll('progress')].some(b => b.max > 0 && b.value < b.max)")
	p.click("Cancel replay ")
	p.fill("form[action$='/cancel'] input[name=reason]", "the destination is down")
	p.checked("callback-cancel")
	p.click("Cancel: skip what it has not delivered")
	p.sees("Replay cancelled")
	p.until("!document.querySelector(\"form[action$='/cancel']\")")

	// What needs a second person waits for one.
	p.click("Detach")
	p.fill("form[action$='/state'] input[name=reason][required]", "it is gone for good")
	p.click("Detach: skip its pending and new events")
	p.sees("Waits for approval")
	p.checked("needs-approval")
	p.click("Approvals")
	p.sees("it is gone for good")
	p.checked("approvals")

	p.visit("/ui/events?id=" + url.QueryEscape(hostile))
	p.sees(`<script>document.title='run'</script>`)
	p.click("Show the contents")
	p.sees(`\u003cscript`)
	p.checked("event")
	p.click("Prove its outcomes")
	p.sees("Callback archive")
	p.checked("event-proof")
	p.visit("/ui/events?id=nothing-of-that-name")
	p.checked("event-missing")
	p.visit("/ui/nothing-of-that-name")
	p.checked("no-such-page")

	p.visit("/ui/undelivered")
	p.sees("withheld")
	p.checked("undelivered")
	p.visit("/ui/dead-letters?callback=withheld")
	p.sees("leak")
	p.checked("dead-letters")
	eval[chromedp.Void](p, "window.leaving = true; document.querySelector('td.n a').click()")
	p.sees("Contents as accepted")
	p.checked("dead-letter")
	p.visit("/ui/dead-letters?callback=withheld")
	p.do(chromedp.Click(chromedp.CSS("input[name=sequence]")))
	p.click("Discard")
	p.fill("form[action='/ui/dead-letters'] input[name=reason]", "a test of the page")
	p.click("Discard for good")
	p.sees("1 dead letters discarded")
	p.do(chromedp.Click(chromedp.CSS("input[name=all]")))
	p.click("Deliver again")
	p.sees("dead letters will be delivered again")
	p.visit("/ui/dead-letters?callback=withheld")
	p.sees("leak (")
	p.do(chromedp.Click(chromedp.CSS("input[name=cause]")))
	p.fill("form[action='/ui/dead-letters/by-cause'] input[name=reason]", "all of one cause")
	p.click("Discard all with these causes")
	p.sees("dead letters discarded")

	p.visit("/ui/quarantine")
	p.checked("quarantine")
	eval[chromedp.Void](p, "window.leaving = true; document.querySelector('td.n a').click()")
	p.sees("Mend and replay")
	p.checked("quarantined")
	p.fill("textarea", event("mended", "carol"))
	p.fill("form[action^='/ui/quarantine/'] input[name=reason]", "the action was a number")
	p.click("Replay with these contents")
	p.sees("1 items replayed")
	p.visit("/ui/events?id=mended")
	p.sees("Outcome on each callback")
	p.visit("/ui/control")
	p.sees("the action was a number")

	modules(t, r, p)
	policies(p)
	shadows(r, p)
	rollouts(r, p)
	p.visit("/ui/tap")
	p.click("Watch")
	p.until("document.querySelector('.tap')")
	for i := 0; i < 50 && !eval[bool](p, "document.body.innerText.includes('tapped')"); i++ { // the first may pass before the browser listens
		r.run(event(fmt.Sprintf("tapped%d", i), hostile), "send", "-")
	}
	p.until("[...document.querySelectorAll('.tap li')].some(l => l.innerText.includes('filtered masked') && l.innerText.includes('***'))")
	p.checked("tap")

	public := strings.TrimSpace(r.run("", "proof", "public", "data/proof.key"))
	r.run("", "verify", "out", "--key", public, "--report-to", "http://"+r.address)
	p.visit("/ui/completeness")
	p.sees("Verified elsewhere")
	p.sees("as here")
	p.sees("Something is open")
	p.sees("as signed")
	p.checked("completeness")

	p.visit("/ui/report")
	p.click("Show")
	p.sees("What left, what was withheld, and why")
	p.sees("a test of the page")
	p.checked("report")

	p.visit("/ui/store")
	p.fill("input[name=changed_by]", "bob")
	p.click("Search")
	p.sees("2 records.")
	p.fill("form[action='/ui/store/searches'] input[name=name]", "by bob")
	p.click("Save")
	p.sees("Search saved.")
	p.visit("/ui/store")
	p.click("by bob")
	p.sees("2 records.")
	p.checked("store")
	p.click("Delete")
	p.sees("Search deleted.")

	p.visit("/ui/control")
	p.sees("a test of the page")
	p.sees("the destination is down")
	p.checked("control")
	p.walkedAll("/ui/fleet", "fleet")

	for _, role := range []string{"view", "comply", "operate"} {
		p.click("Sign out")
		p.sees("Sign in")
		p.signIn(role)
		p.visit("/ui/modules")
		p.until("document.querySelector('input[type=file]') === null")
		p.visit("/ui/callbacks/archive")
		p.until(fmt.Sprintf("(document.querySelector('button[value=pause]') !== null) === %v", role == "operate"))
		p.visit("/ui/rollouts")
		p.until("document.querySelector(\"form[action='/ui/rollouts']\") === null && document.querySelector(\"form[action$='/promote']\") === null")
		p.until(fmt.Sprintf("(document.querySelector(\"form[action$='/back']\") !== null) === %v", role == "operate"))
	}
	p.visit("/ui/approvals")
	p.click("Approve")
	p.sees("Approved, and done.")
	p.checked("roles")
	p.click("Sign out")
	p.visit("/ui/quarantine")
	p.sees("Sign in")

	// On a phone nothing is wider than the screen but tables, which scroll.
	p.signIn("admin")
	p.do(chromedp.EmulateViewport(360, 740))
	p.narrow()
}

// narrow looks at every screen that was walked on a phone.
func (p *page) narrow() {
	p.t.Helper()
	for route, at := range p.walked {
		if at == "" {
			continue
		}
		p.visit(at)
		if eval[bool](p, "document.documentElement.scrollWidth > document.documentElement.clientWidth") {
			p.t.Errorf("%s is wider than a phone", route)
		}
	}
}

// modules uploads two modules, uses one, then the other, and rolls back.
func modules(t *testing.T, r *relay, p *page) {
	t.Helper()
	upload := func(file string) {
		t.Helper()
		p.visit("/ui/modules")
		p.do(chromedp.SetUploadFiles(chromedp.CSS("input[type=file]"), []string{filepath.Join(r.repo, "testdata/wasm/hostile", file)}))
		p.fill("input[name=name]", "rules")
		p.click("Upload")
	}
	upload("no-event.wasm")
	p.sees("The module was not stored")
	p.sees("auditrelay_event")
	p.until("[...document.querySelectorAll('tr')].some(r => r.innerText.startsWith('exports') && r.querySelector('.bad'))")
	p.checked("module-refused")
	upload("keep.wasm")
	p.sees("Module stored")
	p.checked("module")
	p.do(chromedp.SetValue(chromedp.CSS("form[action$='/check'] select[name=filter]"), "rules"))
	p.click("Run all checks and cases")
	p.sees("The module passes all checks.")
	p.sees("start as rules")
	p.checked("module-check")
	p.click("Back")
	p.sees("Versions of rules")
	p.click("Use it for rules")
	p.sees("from the next event on")
	upload("drop.wasm")
	p.click("Use it for rules")
	p.sees("from the next event on")
	p.click("Change rules")
	p.checked("modules")
	p.click("Roll rules back")
	p.sees("from the next event on")
	if list := r.run("", "module", "filters"); !strings.Contains(list, "rules") {
		t.Error(list)
	}
}

// policies looks at the policy in force, tries a draft and compares it.
func policies(p *page) {
	p.t.Helper()
	p.visit("/ui/policies")
	p.sees("callbacks/withheld/must_not_leave")
	p.checked("policies")
	p.click("Try a draft")
	p.fill("textarea[name=policy]", "rules: [{paths: [object_id], do: mask}]")
	p.click("Compare the draft")
	p.sees("Newly exposed")
	p.sees("changed_by")
	p.checked("compare")
	eval[chromedp.Void](p, "document.querySelector('textarea[name=events]').value = "+fmt.Sprintf("%q", event("tried", hostile))+";0")
	eval[chromedp.Void](p, "document.querySelector('button[value=try]').click()")
	p.sees("tried: delivered")
	p.sees("mask object_id")
	p.until("document.querySelector('.removed') && document.querySelector('.added')")
	p.checked("try")
	p.visit("/ui/try?callback=guarded")
	p.click("An uploaded module")
	eval[chromedp.Void](p, "const m = document.querySelector('select[name=module]'); m.value = [...m.options].filter(o => o.value)[0].value; document.querySelector('select[name=callback]').value = 'guarded'; 0")
	eval[chromedp.Void](p, "window.leaving = true; document.querySelector('button[value=try]').click()")
	p.until("!window.leaving && document.readyState === 'complete'")
	p.sees("Result")
	p.until("[...document.querySelectorAll('li')].some(l => l.innerText.startsWith('rules: '))")
	p.visit("/ui/policies")
	eval[chromedp.Void](p, "window.leaving = true; document.querySelector('td.id a').click()")
	p.sees("Text")
	p.checked("policy")
	digest := strings.TrimPrefix(eval[string](p, "location.pathname"), "/ui/policies/")
	p.visit("/ui/policies")
	p.fill("form[action='/ui/policies/by-digest'] input", digest)
	p.click("Show its text")
	p.sees(digest)
	p.visit("/ui/policies")
	p.click("Try a draft")
	p.fill("textarea[name=policy]", "rules: [{paths: [object_id], do: nonsense}]")
	p.click("Compare the draft")
	p.sees("nonsense")
	p.until("document.querySelector('textarea[name=policy]').value.includes('nonsense')") // a draft is not lost
	p.checked("draft-refused")
}

// shadows tries a module and a policy on live events, uses one, and drops the other.
func shadows(r *relay, p *page) {
	p.t.Helper()
	p.visit("/ui/modules")
	p.click("Change rules")
	eval[chromedp.Void](p, "const s = document.querySelector('details select[name=sha256]'); s.value = [...s.options].find(o => !o.selected).value; 0")
	p.click("Run it in the shadow of rules on guarded")
	p.sees("The shadow runs.")
	r.run(event("shadow1", hostile)+event("shadow2", "dave"), "send", "-")
	p.sees("2 of 10,000: 0 the same, 2 changed") // without a reload
	p.sees("2 events filtered instead of delivered")
	p.checked("shadow-module")
	p.click("Drop the shadow")
	p.sees("Shadow dropped")
	p.visit("/ui/try?filter=mask&callback=masked")
	p.fill("textarea[name=policy]", "rules: [{paths: [object_id], do: mask}]")
	p.click("Run the draft in a shadow")
	p.sees("The shadow runs.")
	r.run(event("shadow3", hostile), "send", "-")
	p.sees("1 events that would expose a value")
	p.until("[...document.querySelectorAll('th code')].some(c => c.innerText === 'changed_by')")
	p.checked("shadow-policy")
	p.visit("/ui/shadows")
	p.sees("masked")
	p.checked("shadows")
	p.visit("/ui/shadows/masked")
	p.fill("form[action$='/use'] input[name=reason]", "the draft was tried")
	p.click("Use this policy")
	p.sees("selected")
	p.checked("policies-selected")
	eval[chromedp.Void](p, "window.leaving = true; [...document.querySelectorAll('a')].find(a => a.innerText === 'to the version before' && a.closest('tr').innerText.startsWith('mask')).click()")
	p.until("!window.leaving && document.querySelector('.removed') && document.querySelector('.added')")
	p.checked("policy-difference")
	p.visit("/ui/policies")
	p.click("Roll mask back")
	p.sees("The filter applies the other policy")
	r.run(event("shadow4", "erin"), "send", "-")
}

// rollouts rolls a module out, which is taken back, then a policy, which is promoted; one of a
// module that drops everything stays under way.
func rollouts(r *relay, p *page) {
	p.t.Helper()
	p.visit("/ui/rollouts")
	p.sees("There was no rollout.")
	start := func() {
		p.t.Helper()
		p.fill("input[name=share]", "50")
		p.fill("input[name=after]", "1000")
		p.fill("form[action='/ui/rollouts'] input[name=reason]", "a share first")
		eval[chromedp.Void](p, "const s = document.querySelector('select[name=sha256]'); s.value = [...s.options].at(0).value; 0")
		p.click("Start the rollout")
	}
	start()
	if strings.Contains(p.text(), "has this version") {
		p.visit("/ui/rollouts")
		p.fill("input[name=share]", "50")
		eval[chromedp.Void](p, "const s = document.querySelector('select[name=sha256]'); s.value = [...s.options].at(1).value; 0")
		p.click("Start the rollout")
	}
	p.sees("judges 50 % of the events")
	var some strings.Builder
	for i := range 40 {
		some.WriteString(event(fmt.Sprintf("rolled%d", i), hostile))
	}
	r.run(some.String(), "send", "-")
	p.until("[...document.querySelectorAll('tr')].some(r => r.innerText.startsWith('guarded') && +r.querySelectorAll('td')[1].innerText > 5)") // without a reload
	p.checked("rollout")
	p.visit("/ui/")
	p.sees("A rollout of filter rules")
	p.click("A rollout of filter rules")
	p.click("Roll back")
	p.sees("Rolled back: the version in force judges all events again.")
	p.sees("was rolled back")
	p.checked("rollout-back")
	p.visit("/ui/try?filter=mask&callback=masked")
	p.fill("textarea[name=policy]", "rules: [{paths: [object_id, changed_by], do: mask}]")
	p.fill("input[name=share]", "100")
	p.click("Roll the draft out")
	p.sees("judges 100 % of the events")
	p.click("Promote")
	p.sees("was promoted")
	p.visit("/ui/policies")
	p.click("Roll mask back")
	p.sees("The filter applies the other policy")
	p.visit("/ui/try?filter=mask&callback=masked")
	p.fill("textarea[name=policy]", "rules: [{paths: [object_id], do: remove}]")
	p.click("Roll the draft out")
	p.sees("judges 5 % of the events")
}

// TestWithoutJavaScriptAllButtonsWork: a form needs no script.
func TestWithoutJavaScriptAllButtonsWork(t *testing.T) {
	r := start(t)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	resp, err := client.PostForm("http://"+r.address+"/ui/sign-in", url.Values{"token": {token("operate")}})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	req, _ := http.NewRequest("POST", "http://"+r.address+"/ui/callbacks/archive/state", strings.NewReader("do=pause"))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range resp.Cookies() {
		req.AddCookie(c)
	}
	if resp, err = client.Do(req); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusSeeOther || !strings.Contains(r.run("", "callbacks"), "paused") {
		t.Error("the callback was not paused:", resp.Status)
	}
}
