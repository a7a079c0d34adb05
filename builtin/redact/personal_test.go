package redact_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// personal returns invented personal data of every kind with a form.
func personal(r *rand.Rand) []string {
	digits := func(n int) string {
		var b strings.Builder
		for range n {
			b.WriteByte(byte('0' + r.IntN(10)))
		}
		return b.String()
	}
	card := "4" + digits(14)
	sum := 0
	for i, c := range card {
		d := int(c - '0')
		if i%2 == 0 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	card += fmt.Sprint((10 - sum%10) % 10)
	account := digits(18) // of a German IBAN: its digits, then DE00 as digits
	rest := 0
	for _, c := range account + "131400" {
		rest = (rest*10 + int(c-'0')) % 97
	}
	return []string{
		fmt.Sprintf("person%s@mail%d.example.com", digits(4), r.IntN(1000)),
		fmt.Sprintf("%d.%d.%d.%d", 20+r.IntN(100), r.IntN(256), r.IntN(256), 1+r.IntN(254)),
		fmt.Sprintf("2001:db8:%x:%x::%x", r.IntN(1<<16), 1+r.IntN(1<<15), 1+r.IntN(1<<15)),
		"+4915" + "1" + digits(8),
		card,
		card[:4] + " " + card[4:8] + " " + card[8:12] + " " + card[12:],
		fmt.Sprintf("DE%02d%s", 98-rest, account),
	}
}

// With the preset pii, no personal data of a known form leaves, in any place.
func TestNoPersonalDataLeaves(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	f := open(t, policy(t, `{preset: pii}`))
	rounds := 1500
	if testing.Short() {
		rounds = 200
	}
	for range rounds {
		for kind, secret := range personal(r) {
			for place, event := range map[string]string{
				"plain":         `{"id":"1","changed_by":%s}`,
				"nested":        `{"id":"1","updated_values":{"a":[{"b":%s}]}}`,
				"free text":     `{"id":"1","note":"ask %[2]s, please"}`,
				"a key":         `{"id":"1","updated_values":{%s:1}}`,
				"in a string":   `{"id":"1","updated_values":"{\"who\": \"%[2]s\"}"}`,
				"twice":         `{"id":"1","updated_values":"{\"who\": \"{\\\"who\\\": \\\"%[2]s\\\"}\"}"}`,
				"a short value": `{"id":"1","email":"x@y","who":%s}`,
			} {
				in := strings.NewReplacer("%[2]s", secret, "%s", quoted(t, secret)).Replace(event)
				if out, _ := f.apply(t, []byte(in)); strings.Contains(string(out), secret) {
					t.Fatalf("kind %d, %s: %s left as it was:\n%s", kind, place, secret, out)
				}
			}
		}
	}
	if out, _ := f.apply(t, []byte(`{"card":4111111111111111,"first_name":"Alice","x":{"homeAddress":"y","client_ip":"z"}}`)); string(out) != `{"card":"***","first_name":"***","x":{"homeAddress":"y","client_ip":"***"}}` {
		t.Errorf("%s", out)
	}
}
