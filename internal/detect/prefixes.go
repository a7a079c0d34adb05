package detect

import "bytes"

// form is a secret that begins with words that nothing else begins with.
type form struct {
	leads []string
	at    int      // where in each lead the anchor's second byte is
	rest  *charset // what follows a lead
	least int      // how much of it, at least
	exact bool     // and at most
	mixed bool     // what follows has letters and digits
	cased bool     // what follows has those, or small letters and capitals
}

func (f form) anchor() anchor {
	a := anchor{back: f.at + escapeBytes, find: f.find}
	for _, lead := range f.leads {
		a.first += lead[f.at-1 : f.at]
		a.second += lead[f.at : f.at+1]
		a.ahead = max(a.ahead, len(lead)-f.at+max(f.least+1, judged))
	}
	if !f.exact {
		a.extend = f.extend
	}
	return a
}

// escapeBytes is what begins looks back.
const escapeBytes = 6

func (f form) find(window []byte, at int) (Finding, bool) {
	start := at - f.at
	if start < 0 || !begins(window, start) {
		return Finding{}, false
	}
	for _, lead := range f.leads {
		rest, ok := bytes.CutPrefix(window[start:], []byte(lead))
		if !ok {
			continue
		}
		n := f.rest.span(rest)
		rest = rest[:n]
		if n < f.least || f.exact && n > f.least {
			return Finding{}, false
		}
		seen, _ := classes(rest[:min(n, judged)])
		mixed := seen&digit != 0 && seen&(lower|upper) != 0
		ok = (!f.mixed || mixed) && (!f.cased || mixed || seen&lower != 0 && seen&upper != 0)
		return Finding{Start: start, End: start + len(lead) + n}, ok
	}
	return Finding{}, false
}

func (f form) extend(text []byte, found Finding) int {
	return found.End + f.rest.span(text[found.End:])
}

// forms returns the anchors of forms.
func forms(all ...form) []anchor {
	var anchors []anchor
	for _, f := range all {
		anchors = append(anchors, f.anchor())
	}
	return anchors
}

// slackHook is the address of an incoming webhook, which is the whole of its secret.
func slackHook() anchor {
	host, folders := []byte("hooks.slack.com/"), [][]byte{[]byte("services/"), []byte("workflows/"), []byte("triggers/")}
	path := charsetOf("A-Za-z0-9/_-")
	return anchor{
		first: "k", second: ".", back: len("hooks.slack"), ahead: 64,
		find: func(window []byte, at int) (Finding, bool) {
			start := at - len("hooks.slack")
			if start < 0 {
				return Finding{}, false
			}
			rest, ok := bytes.CutPrefix(window[start:], host)
			if !ok {
				return Finding{}, false
			}
			for _, folder := range folders {
				if rest, ok := bytes.CutPrefix(rest, folder); ok {
					n := path.span(rest)
					return Finding{Start: start, End: len(window) - len(rest) + n}, n >= 16
				}
			}
			return Finding{}, false
		},
		extend: func(text []byte, f Finding) int { return f.End + path.span(text[f.End:]) },
	}
}

// azureClientSecret is the form that Microsoft gave the secrets of applications so
// that they can be recognised: three characters, a digit, "Q~", and 31 to 34 more.
func azureClientSecret() anchor {
	set := charsetOf("A-Za-z0-9_.~-")
	return anchor{
		first: "Q", second: "~", back: 5 + escapeBytes, ahead: 36,
		find: func(window []byte, at int) (Finding, bool) {
			start := at - 5
			if start < 0 || classOf[window[at-2]] != digit || !set.all(window[start:at]) || !begins(window, start) {
				return Finding{}, false
			}
			n := set.span(window[at+1:])
			return Finding{Start: start, End: at + 1 + n}, n >= 31
		},
		extend: func(text []byte, f Finding) int { return f.End + set.span(text[f.End:]) },
	}
}
