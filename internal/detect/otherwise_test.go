package detect_test

import "testing"

// A value that a format of its own shows is found whole, whatever signs it has: <> are
// around what is to be found.
func TestValuesOfOwnFormats(t *testing.T) {
	s := newSet(t, "secrets")
	for _, text := range []string{
		"htpasswd -b f bob <hunter2-Fall>",
		"htpasswd -b f bob <hunter2-Fall>\nls",
		"htpasswd -b f bob '<hunter2-Fall>'",
		`htpasswd -b f bob "<correct horse 9 battery>" && ls`,
		`sh -c 'htpasswd -b f "bob b" "<correct horse 9 battery>"'`,
		`{\"cmd\":\"htpasswd -b f bob \\\"<correct horse 9 battery>\\\" \"}`,
		"htpasswd\t-b f bob hunter2",
		"htpasswd -nb bob <hunter2-Fall>",
		"htpasswd -n -b bob <hunter2-Fall>",
		"htpasswd -nbB -C 10 bob <hunter2-Fall>",
		`htpasswd -nbBC 10 "" <hunter2-Fall>`,
		"htpasswd -b f bob <-hunter2-Fall>",
		"htpasswd -cb \t f bob <hunter2-Fall,x;y>",
		"htpasswd \n",
		"htpasswd \t-b f u p",
		`htpasswd -b f u "`,
		`htpasswd -b f u "\`,
		"htpasswd f bob hunter2-Fall",
	} {
		plain, want := marked(text)
		if got := render(plain, s.Append(nil, []byte(plain), s.Name(nil))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
