// Tests of the page with a real browser, in a module of their own so that users do not
// inherit the dependency. scripts/test-page runs them.
module auditrelay/internal/testservers/browser

go 1.26

require (
	github.com/chromedp/cdproto v0.160.1
	github.com/chromedp/chromedp v0.23.1
)

require github.com/go-json-experiment/json v0.0.0-20260213210345-44df1a37e875 // indirect
