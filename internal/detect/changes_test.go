package detect_test

import (
	"strings"
	"testing"
)

// Each text is a kind of place that identifies a secret. ⟦⟧ surround the finding. Texts
// without them are near misses.
func TestPlacesThatTell(t *testing.T) {
	s := newSet(t, "secrets")
	for kind, texts := range map[string][]string{
		"a secret changed, and its new value follows": {
			"token has been rotated, new value ⟦Tr0ub4dor-x⟧", "The token has been rotated; the new value: ⟦Tr0ub4dor-x⟧", "API key rotated. New one is ⟦Tr0ub4dor-x⟧", "the secret's value is ⟦Tr0ub4dor-x⟧",
			"password reset, use ⟦Tr0ub4dor-x⟧ from now on", "the key was rotated, it is now ⟦Tr0ub4dor-x⟧", "the token was replaced by ⟦Tr0ub4dor-x⟧", "The account's password was rotated today. The current one is ⟦Tr0ub4dor-x⟧", "Password has been reset to: ⟦Tr0ub4dor-x⟧", "replaced the old token with ⟦Tr0ub4dor-x⟧",
			"token updated from old1 to ⟦Tr0ub4dor-x⟧", "Passwort wurde auf ⟦Tr0ub4dor-x⟧ geändert", "contraseña cambiada a ⟦Tr0ub4dor-x⟧", "mot de passe changé en ⟦Tr0ub4dor-x⟧", "Пароль изменён на ⟦Tr0ub4dor-x⟧", "密码已重置为⟦Tr0ub4dor-x⟧",
			"token has been rotated, new value will be shared at 17:00", "token has been rotated, new value 2026-11-30", "password reset, use section12 from now on", "password reset, use version1.2.3 from now on", "the cluster was rotated, new value Tr0ub4dor-x",
			"replaced the old node with Tr0ub4dor-x", "moved from eu-west-1 to eu-central-1b, auth unchanged", "Passwort wurde auf 14.11.2026 verschoben",
		},
		"a remark stands between the name and its sign": {
			"password (new): ⟦Tr0ub4dor-x⟧", "API token created: ⟦Tr0ub4dor-x⟧", "A temporary password is generated for root@localhost: ⟦Tr0ub4dor-x⟧", "Use the following token to log in: ⟦Tr0ub4dor-x⟧", "The token I used was ⟦Tr0ub4dor-x⟧",
			"password changed: 2026-03-01T10:00:00Z", "token created: v1.22.3-rc1", "password (policy): Length-12-Min", "API token created: bob99@Example.com", "image (new): Tr0ub4dor-x",
		},
		"marks of markup stand between them": {
			"**Password**: `⟦Tr0ub4dor-x⟧`", "- **API key:** ⟦Tr0ub4dor-x9Kq⟧", "Password: <code>⟦Tr0ub4dor-x⟧</code>", "<b>Password:</b> ⟦Tr0ub4dor-x⟧", "<strong>Token</strong>: ⟦Tr0ub4dor-x⟧", "<p>Your password is <strong>⟦Tr0ub4dor-x⟧</strong>", "<td>Password</td><td>⟦Tr0ub4dor-x⟧</td>", "<dt>Token</dt><dd>⟦Tr0ub4dor-x⟧</dd>",
			"Password: *** Tr0ub4dor-x", "<td>Password</td><td>required</td>", "<td>Password</td><td>Policy</td>", "<td>Token</td><td>max 4096</td>", "**Password:** ***",
		},
		"the value stands on a line of its own": {
			"api key below:\n\n⟦Tr0ub4dor-x⟧", "the password is\n⟦Tr0ub4dor-x⟧\n", "secret:\n    \"⟦Tr0ub4dor-x⟧\"\n", "Password:\n\nTr0ub4dor x y",
		},
		"statements": {
			"INSERT INTO users (name, password) VALUES ('bob', '⟦Tr0ub4dor-x⟧')", "insert into t(id, api_key, n) values(1, '⟦Tr0ub4dor-x⟧', 2)", "SELECT 1 FROM t WHERE token IN ('⟦Tr0ub4dor-x⟧')", "ALTER USER app IDENTIFIED BY ⟦Tr0ub4dor-x⟧ ACCOUNT UNLOCK", "CREDENTIALS=(SAS_TOKEN='⟦Tr0ub4dor-x⟧')",
			"INSERT INTO users (password_hint, name) VALUES ('bob', 'Tr0ub4dor-x')", "INSERT INTO users (name) VALUES ('Tr0ub4dor-x')", "SELECT t1.user_name12 AS password", "values ('Tr0ub4dor-x')",
		},
		"calls and command lines": {
			"requests.get(u, auth=('bob', '⟦Tr0ub4dor-x⟧'))", "HTTPBasicAuth('bob', '⟦Tr0ub4dor-x⟧')", `mysqli_connect("h", "u", "⟦Tr0ub4dor-x⟧", "db")`, "teleport start --token=⟦Tr0ub4dor-x9Kq⟧", "pulumi config set --secret ⟦dbPassword Tr0ub4dor-x⟧",
			"aws ssm put-parameter --name /db/password --type SecureString --value ⟦Tr0ub4dor-x⟧", "rabbitmqctl add_user app ⟦Tr0ub4dor-x⟧", "printf '%s' '⟦Tr0ub4dor-x⟧' | docker login -u b --password-stdin", "cargo login ⟦Tr0ub4dor-x⟧", "kubectl create secret generic s --from-literal=p=⟦Tr0ub4dor-x⟧", "twine upload -p ⟦Tr0ub4dor-x⟧ dist/*", "ssh-keygen -f k -N '⟦Tr0ub4dor-x⟧'",
			"*:*:*:postgres:⟦Tr0ub4dor-x⟧", "[mail.example.com]:587 relay:⟦Tr0ub4dor-x⟧", "admin:⟦Tr0ub4dor-x⟧ works",
			"aws secretsmanager get-secret-value --secret-id prod/token-3", "login('bob', 'main_page1')", "cargo login --registry internal2", "admin: Tr0ub4dor-x",
		},
		"headers, and names": {
			"Authorization: ⟦Digest username=\"bob\", response=\"9f86d081884c7d659a2feaa0c55ad015⟧\"", "Authorization: ⟦AWS4-HMAC-SHA256 Credential=x, SignedHeaders=host;x-amz-date, Signature=9f86d081884c7d659a2feaa0c55ad015⟧\r\nAccept: */*", "https://⟦Tr0ub4dor-x⟧:x-oauth-basic@github.com/x", "https://h/x?key=⟦q7Zk2mXv9TbL4wRy8nDs6HcP⟧&v=1",
			"NEXT_PRIVATE_TOKEN='⟦Tr0ub4dor-x⟧'", "AZURE_KEY=⟦9f86d081884c7d659a2feaa0c55ad015⟧", "qdrant_key: ⟦9f86d081884c7d659a2feaa0c55ad015⟧", "user bob, pw ⟦Tr0ub4dor-x⟧", "clé d'API : ⟦Tr0ub4dor-x⟧", "访问令牌：⟦Tr0ub4dor-x⟧", "パスワードは「⟦Tr0ub4dor-x」です⟧",
			"Authorization: required scope=read", "max_session_tokens=4096", "https://h/x?sort_key=q7Zk2mXv9TbL4wRy8nDs6HcP", "secret: process.env.JWT_SECRET,", "if password != confirm_password1: raise ValueError",
		},
		"numbers before a key": {
			"⟦12|q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1q7Zk2mXv⟧", "a|q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1q7Zk2mXv", "12|9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
		},
	} {
		t.Run(kind, func(t *testing.T) {
			for _, text := range texts {
				plain := strings.NewReplacer("⟦", "", "⟧", "").Replace(text)
				got, at := "", 0
				for _, f := range s.Append(nil, []byte(plain), s.Name(nil)) {
					got += plain[at:f.Start] + "⟦" + plain[f.Start:f.End] + "⟧"
					at = f.End
				}
				if got += plain[at:]; got != text {
					t.Errorf("got  %s\nwant %s", got, text)
				}
			}
		})
	}
}
