package detect_test

import (
	"strings"
	"testing"
)

// A value in its own format is found whole, with any characters. <> surround the finding.
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
		`WIFI:T:WPA;S:office;P:<hun7\;ter2-Fall>;;`,
		`WIFI:P:<hun7\;ter2-Fall>;T:WPA;S:office;;`,
		`WIFI:T:WPA;S:office;P:<correct horse 9 battery>;H:true;;`,
		`WIFI:T:WPA;S:office;P:<hun7ter2-Fall>`,
		`a:1:{s:8:"password";s:12:"<hunter2-Fall>";}`,
		`a:1:{s:8:"password";s:13:"<hunter2";Fall>";}`,
		`a:1:{s:8:"password";s:14:"<hunter2";Fall>";}`,
		`a:1:{s:8:"password";s:13:"<hunter2 "Fall>";s:1:"x";s:1:"y";}`,
		`a:1:{s:8:"password";s:99:"<hunter2-Fall>";}`,
		`a:1:{s:8:"password";s:206:"<hunter2";` + strings.Repeat("a", 197) + `>";}`,
		`gpg --passphrase "<echo 9chamber tango7 blue>" -d x`,
		`gpg --passphrase "<echo 9chamber tango7 ` + strings.Repeat("blue ", 60) + `>" -d x`,
		`x --password-command 'echo <hunter2-Fall>' y`,
		`x --password-command "echo -n <9chamber tango7 blue>" y`,
		`x --password-command "echo -n <9chamber tango7 ` + strings.Repeat("blue ", 60) + `>" y`,
		`x --password-command "echo '<9chamber tango7 blue>'" y`,
		`x --password-command echo <hunter2-Fall> y`,
		`x --password "echo `,
		`x --password-command "echo -n `,
	} {
		plain, want := marked(text)
		if got := render(plain, s.Append(nil, []byte(plain), s.Name(nil))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}
