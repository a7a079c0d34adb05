package detect_test

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"

	"auditrelay/internal/detect"
	"auditrelay/internal/test/vectors"
)

// docs/reference/detectors.md matches All. UPDATE_GOLDEN=1 writes it.
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
	fmt.Fprintf(&b, documentHead, detect.PackVersion())
	group := ""
	for _, info := range detect.Shipped().All() {
		kind := info.Groups[0]
		if info.Rule == nil && kind == "secrets" {
			kind = "code"
		}
		if kind != group {
			group = kind
			b.WriteString("\n" + documentGroups[group])
		}
		example := "`" + shortened(info.Example) + "`"
		if info.ExampleUnder != "" {
			example += " under `" + info.ExampleUnder + "`"
		}
		if info.Rule == nil {
			b.WriteString("| `" + info.Name + "` | " + cell(info.Finds) + " | " + cell(example) + " | " + cell(info.DoesNotFind) + " |\n")
			continue
		}
		if kind == "personal" {
			near := ""
			if len(info.Rule.Near) > 0 {
				near = "`" + strings.Join(info.Rule.Near, "`, `") + "`"
			}
			b.WriteString("| `" + info.Name + "` | " + cell(info.Finds) + " | " + cell("`"+strings.Join(info.Rule.Forms, "`, `")+"`") + " | " + near + " | `" + info.Groups[1] + "` |\n")
			continue
		}
		forms := "`" + strings.Join(info.Rule.Forms, "`, `") + "`"
		b.WriteString("| `" + info.Name + "` | " + cell(info.Finds) + " | " + cell(forms) + " | " + cell(strings.Join(info.Groups[1:], ", ")) + " |\n")
	}
	return b.Bytes()
}

// shortened shortens a long example in the middle.
func shortened(s string) string {
	if len(s) <= 120 {
		return s
	}
	return s[:60] + "..." + s[len(s)-20:]
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

const documentHead = `# Detectors: the secrets and personal data that they find, and those that they miss

*For those who write policies and gates. Afterwards you know what each detector finds, and what it does not.*

## Quick reference

| you want to | do |
|---|---|
| list the detectors | ` + "`auditrelay detectors list`" + `; with ` + "`--config FILE`" + ` also your own, and the exceptions |
| see the form and examples of one | ` + "`auditrelay detectors show NAME`" + ` |
| see what is found in a file, and where | ` + "`auditrelay detectors test FILE`" + `; it never prints values |
| find secrets, or personal data | select the group ` + "`secrets` or `pii`" + `; identifiers of a country ` + "`personal-de`" + ` and so on, of all ` + "`personal`" + ` |
| add a rule of your own | ` + "`detectors`, `detector_files`: [policies](../compliance/policies.md#your-own-detectors)" + ` |
| except a harmless finding | ` + "`detector_exceptions`: [policies](../compliance/policies.md#harmless-findings)" + ` |
| count findings | ` + "`auditrelay_callback_detector_findings_total`" + `; what exceptions spared: ` + "`auditrelay_detector_exceptions_total`" + ` |

## How they work

A test in ` + "`internal/detect`" + ` makes this page from the detectors themselves; every rule's examples
and counter-examples are tested in four positions: a leaf under a neutral key, JSON in a string, a sentence, an object's key.
` + "`auditrelay detectors list`, `show NAME` and `test FILE`" + ` show the same for a configuration: with ` + "`--config FILE`" + `
your own rules and exceptions too. How often an exception applied is a metric only.

Most detectors are rules: data. The shipped rules are version %s, in ` + "`internal/detect/pack`" + `. Name a detector, or a group, in
a policy (` + "`detect`" + `), in a gate (` + "`must_not_leave: {detectors: [...]}`" + `), or in a guest. All rules that are selected are compiled to one automaton,
shared by every filter, gate and guest that selects the same; an expression runs in a window at a hit only.

- **What has no form is not found.** A short password, a word, or a secret split over two fields is found by no detector: rules by
  name (` + "`secret_names`, `names`" + `) and by path are for those, and ` + "`keep_only`" + ` is safer than either.
- **A finding is what is cut out.** Of a password in a URL that is the password alone; of a named value within a text it ends at
  the closing quote, or, without quotes, at white space, a quote, a backslash, or one of ` + "`, ; & ) ] } < > |`" + `.
- **Up to three encodings around each other are undone**: a row of 20 or more characters that is base64 or hexadecimal digits of printable text, and the escapes of URLs
  (` + "`%%2D`" + `), HTML (` + "`&#45;`, `&quot;`" + `) and programs (` + "`\\u002d`, `\\x2d`" + `). What hides a secret is cut out whole. Escapes are undone
  twice. Gzip in base64 is looked into, 64 KiB of what it holds. Of a row, the first 8 KiB are looked at. Encryption, other compression and text among
  binary data hide a secret. Strings that hold JSON are entered by those who use the detectors.
- **Tables**: where a heading calls a column secret, the values in it are found: CSV (comma, semicolon, tab), Markdown's, and columns of spaces.
  The heading is one of the first eight lines. Filters and gates read tables as JSON: arrays of which the first names the columns, and
  ` + "`{columns, rows}`" + `, also where each array is a column (` + "`{columns: [...], values: [[...], [...]]}`" + `). Guests do not. HTML's, where ` + "`<th>`" + ` tells.
- **Command lines as arrays**: filters and gates read ` + "`args`" + ` beside ` + "`command`" + `, or an array with the program first, as one line: ` + "`[\"sshpass\", \"-p\", VALUE]`" + `.
- **Shells**: ` + "`echo VALUE | docker login --password-stdin`, `<<< VALUE`" + ` and the line behind ` + "`<<EOF`" + `, where the command is one that reads a secret.
- **Pairs are names too**: ` + "`{\"name\": \"API_TOKEN\", \"value\": ...}`, `[\"x-api-key\", ...]`, `[\"--token\", ...]`" + `, JSON Patch, a private JSON Web Key.
- **A key's hash is none**: ` + "`token`" + ` in the rows of LiteLLM's tables of keys, and ` + "`changed_by_api_key`" + `, as long as they are 64 lower-case
  hexadecimal digits. Elsewhere 64 digits beside a name that says secret are a secret.
- **Random** means: changing between upper case, lower case and digits as often as what is drawn does, and words, versions and dates do
  not. It is judged on the first 64 characters. Of tokens drawn in the usual ways, under a telling name, fewer than one in a thousand is not
  found; what consists of digits alone never is.
- **Time is linear** in a text's length, whatever it holds, and nothing is allocated (but by an operator's expression that needs a search).
- Where two detectors find the same, the first of this list names it. A longer secret of the same form goes along whole.
`

var documentGroups = map[string]string{
	"secrets": "## Group `secrets`: rules\n\nForms are RE2; a repetition at the end is the fewest characters. A source for each is in the pack.\n\n| name | finds | form | groups |\n|---|---|---|---|\n",
	"code": "## Group `secrets`: what needs code\n\nNo text of 100,000 clean generated events is taken for a secret. No detector\n" +
		"looks at a UUID, a pseudonym (`hmac:name:...`), `***`, the name of a model, a time, or an e-mail address.\n\n" + documentColumns,
	"personal": fmt.Sprintf("## Group `personal`: identifiers that countries issue\n\nOff unless you select it, or one of its groups: `personal-de`, `personal-us`, `personal-wallets`, `personal-devices`. "+
		"Select the countries that you deal with: each weak check digit takes one number in ten or eleven. Where a form says little (nine digits), a word must stand in the name or at most 64 bytes before: `near`.\n\n"+
		"The whole group takes %d of %d clean values of %d kinds, %d values in 10,000 clean events, and %d of 10,000 numbers: times, order and telephone numbers, and drawn digits of 9 to 13 places. "+
		"Most of the last are eleven digits that have the date and check digit of some country.\n\n| name | finds | form | beside | group |\n|---|---|---|---|---|\n", personalFalse[0], 1000*len(vectors.Clean), len(vectors.Clean), personalFalse[1], personalFalse[2]),
	"pii": "## Group `pii`\n\nOf 100,000 clean events " + cleanEmails + " hold something that is found: an e-mail address each, of an owner or a user, as they were written to.\n" +
		"Nothing else in them is taken for personal data. `changed_by` may well hold an address in practice; a policy that masks it loses who did it, and may want\n" +
		"`hmac`. People's names, postal addresses and birthdays have no form.\n\n" + documentColumns,
}

const documentColumns = "| name | finds | for example (made up) | does not find |\n|---|---|---|---|\n"
