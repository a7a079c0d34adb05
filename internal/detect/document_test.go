package detect_test

import (
	"bytes"
	"os"
	"strings"
	"testing"

	"auditrelay/internal/detect"
)

// docs/reference/detectors.md says what All says. UPDATE_GOLDEN=1 writes it.
func TestDocument(t *testing.T) {
	const file = "../../docs/reference/detectors.md"
	want := renderDocument()
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(file, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/reference/detectors.md is not what the detectors say; run this test with UPDATE_GOLDEN=1")
	}
}

func renderDocument() []byte {
	var b bytes.Buffer
	b.WriteString(documentHead)
	group := ""
	for _, info := range detect.Shipped().All() {
		if info.Groups[0] != group {
			group = info.Groups[0]
			b.WriteString("\n## Group `" + group + "`\n\n" + documentGroups[group] + "\n| name | finds | for example (made up) | does not find |\n|---|---|---|---|\n")
		}
		example := "`" + info.Example + "`"
		if info.ExampleUnder != "" {
			example += " under `" + info.ExampleUnder + "`"
		}
		b.WriteString("| `" + info.Name + "` | " + cell(info.Finds) + " | " + cell(example) + " | " + cell(info.DoesNotFind) + " |\n")
	}
	return b.Bytes()
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

const documentHead = `# Detectors: what is found, and what is not

Made from the detectors themselves by a test in ` + "`internal/detect`" + `, in which every line below has its rows of texts that are found and
of near ones that are not.

A detector knows a secret by its own form, or by its form beside a telling name. It looks at decoded text: the characters of a string,
a number as it is written, or an object's key; and it is told the name that the text stands under. In a policy (` + "`detect`" + `) and in a
gate (` + "`must_not_leave: {detectors: [...]}`" + `) stand names of detectors, or of groups of them.

- **What has no form is not found.** A short password, a word, or a secret split over two fields is found by no detector: rules by
  name and by path are for those, and ` + "`keep_only`" + ` is safer than either.
- **A finding is what is cut out.** Of a password in a URL that is the password alone; of a named value within a text it ends at
  the closing quote, or, without quotes, at white space, a quote, a backslash, or one of ` + "`, ; & ) ] } < > |`" + `.
- **Encodings are not undone**: base64, percent signs, or compression around a whole secret hide it. Strings that hold JSON are entered
  by those who use the detectors, and escapes just before a secret (` + "`\\n`, `\\u0020`, `%20`" + `) do not hide it
  (but an IP address, a card, or a phone number without its +).
- **Random** means: changing between upper case, lower case and digits as often as what is drawn does, and words, versions and dates do
  not. It is judged on the first 64 characters. Of tokens drawn in the usual ways, under a telling name, fewer than one in a thousand is not
  found; what consists of digits alone never is.
- **Time is linear** in a text's length, whatever it holds, and nothing is allocated.
- The order of the lines is that in which a secret is named where two detectors find the same.
`

var documentGroups = map[string]string{
	"secrets": "No text of 100,000 clean generated events is taken for a secret, neither leaf by leaf nor in their JSON texts as they stand. No detector\n" +
		"looks at a SHA-256 under the names in which LiteLLM keeps it, a UUID, a pseudonym (`hmac:name:...`), `***`, the name of a model, a time, or an e-mail address.\n",
	"pii": "Of the same 100,000 clean events " + cleanEmails + " hold something that is found: an e-mail address each, of an owner or a user, as they were written to.\n" +
		"Nothing else in them is taken for personal data. `changed_by` may well hold an address in practice; whoever masks it loses who did it, and may want\n" +
		"`hmac`. People's names, postal addresses and birthdays have no form.\n",
}
