package vectors

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"strings"
)

// Clean generates values that are no secrets, of the kinds that fill audit events.
var Clean = map[string]func(r *rand.Rand) string{
	"uuid": func(r *rand.Rand) string {
		h := hexDigits(r, 32)
		return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
	},
	"sha256":    func(r *rand.Rand) string { return hexDigits(r, 64) },
	"sha1":      func(r *rand.Rand) string { return hexDigits(r, 40) },
	"md5":       func(r *rand.Rand) string { return hexDigits(r, 32) },
	"digest":    func(r *rand.Rand) string { return "sha256:" + hexDigits(r, 64) },
	"etag":      func(r *rand.Rand) string { return `W/"` + hexDigits(r, 32) + `"` },
	"integrity": func(r *rand.Rand) string { return "sha384-" + base64.StdEncoding.EncodeToString(bytesOf(r, 48)) },
	"ulid":      func(r *rand.Rand) string { return "01" + drawn(r, "0123456789ABCDEFGHJKMNPQRSTVWXYZ", 24) },
	"ksuid":     func(r *rand.Rand) string { return drawn(r, base62, 27) },
	"request": func(r *rand.Rand) string {
		return pickOf(r, "req_", "chatcmpl-", "msg_", "call_", "run_", "thread_", "file-", "asst_") + drawn(r, base62, 24)
	},
	"model": func(r *rand.Rand) string {
		return pickOf(r, "azure/", "bedrock/us.anthropic.", "vertex_ai/", "openrouter/", "") + pickOf(r, "gpt-4o-mini-2024-07-18", "claude-3-5-sonnet-20241022-v2:0", "gemini-2.0-flash-001", "meta-llama/Llama-3.3-70B-Instruct-Turbo", "text-embedding-3-small", "mixtral-8x7b-32768")
	},
	"image": func(r *rand.Rand) string {
		return pickOf(r, "ghcr.io/berriai/litellm:main-v1.", "docker.io/library/postgres:16.", "123456789012.dkr.ecr.eu-central-1.amazonaws.com/app@sha256:"+hexDigits(r, 60)) + fmt.Sprint(1000+r.IntN(9000))
	},
	"url": func(r *rand.Rand) string {
		return "https://" + pickOf(r, "docs.litellm.ai/docs/proxy/token_auth", "example.com/a/b?page=2&sort=key&token_type=bearer", "github.com/BerriAI/litellm/pull/", "search.openai.azure.example:8080/x@y/", "eu.example.com/v1/keys/") + fmt.Sprint(r.IntN(99999))
	},
	"arn": func(r *rand.Rand) string {
		return "arn:aws:secretsmanager:eu-central-1:123456789012:secret:prod/db-" + drawn(r, base62, 6)
	},
	"path": func(r *rand.Rand) string {
		return "/var/lib/" + pickOf(r, "auditrelay/data/token-cache/", "secrets/private-key-store/", "app/") + hexDigits(r, 16) + ".json"
	},
	"time": func(r *rand.Rand) string {
		return fmt.Sprintf("2026-%02d-%02dT%02d:%02d:00.%06d+00:00", 1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(999999))
	},
	"version": func(r *rand.Rand) string {
		return fmt.Sprintf("v%d.%d.%d-rc%d+build.%s", r.IntN(9), r.IntN(30), r.IntN(99), r.IntN(9), hexDigits(r, 7))
	},
	"agent": func(r *rand.Rand) string {
		return "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/120.0." + fmt.Sprint(r.IntN(9999)) + ".0 Safari/537.36"
	},
	"email": func(r *rand.Rand) string {
		return pickOf(r, "anna.jansen", "token.admin", "s.dubois+keys") + fmt.Sprint(r.IntN(999)) + "@example.com"
	},
	"alias": func(r *rand.Rand) string {
		return pickOf(r, "search", "billing", "sk-team", "api-key-rotation", "password-reset") + "-" + pickOf(r, "prod", "staging", "eu-west-1") + "-" + fmt.Sprint(r.IntN(99))
	},
	"prose": func(r *rand.Rand) string {
		return pickOf(r,
			"The password policy changed: at least 12 characters, see the wiki page 4711.", "Please rotate the token before the 3rd of March; the key expires in 90d.",
			"Das Passwort muss bis 31.12.2026 geändert werden, sonst gilt das alte Kennwort nicht mehr.", "Le mot de passe a été réinitialisé; la clé d'accès expire dans 30 jours.",
			"La contraseña se cambió el 12/05/2026; el token de acceso caduca en 24h.", "La password è stata aggiornata da Anna, chiave n. 7 ruotata il 3/4.", "パスワードを変更しました。トークンは90日で失効します。",
			"Secret santa is on 12/24: bring a gift for under 20EUR.", "Bearer of this note may enter; basic training is required.", "max_tokens: 4096, cost per token 0.0000025, key: team, sort by api_key_alias",
			"[SSO] Jane Doe joined team {platform}", "password: see the vault", "token_type=bearer&expires_in=3600&scope=read")
	},
	"svg": func(r *rand.Rand) string {
		return "data:image/png;base64,iVBORw0KGgo" + base64.StdEncoding.EncodeToString(bytesOf(r, 90))
	},
	"trace":  func(r *rand.Rand) string { return "00-" + hexDigits(r, 32) + "-" + hexDigits(r, 16) + "-01" },
	"cron":   func(r *rand.Rand) string { return fmt.Sprintf("%d */%d * * 1-5", r.IntN(60), 1+r.IntN(12)) },
	"masked": func(r *rand.Rand) string { return "sk-..." + hexDigits(r, 4) },
	"kubernetes": func(r *rand.Rand) string {
		return pickOf(r, "litellm-proxy-", "auth-token-refresher-", "pod/secret-sync-") + hexDigits(r, 9) + "-" + drawn(r, "bcdfghjklmnpqrstvwxz2456789", 5)
	},
	"cloud": func(r *rand.Rand) string {
		return pickOf(r, "i-0", "vpc-0", "sg-0", "eni-0", "projects/p-1/secrets/db-password/versions/", "ami-0") + hexDigits(r, 16)
	},
	"object": func(r *rand.Rand) string {
		return pickOf(r, "cus_", "pi_3", "price_1", "evt_1", "toolu_01", "msg_01", "resp_", "batch_", "ses_", "usr_", "org-", "proj_") + drawn(r, base62, 22)
	},
	"slack": func(r *rand.Rand) string {
		return pickOf(r, "C0", "U0", "T0") + drawn(r, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", 9)
	},
	"cursor": func(r *rand.Rand) string {
		return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "offset:%d", r.IntN(1e9)))
	},
	"command": func(r *rand.Rand) string {
		return pickOf(r, "mysql -u root -p app_", "docker run -p 8080:80 nginx:1.", "curl -b cookies.txt https://example.com/", "redis-cli -h cache -n ", "pytest -p no:randomly -k token_", "ssh -p 2222 build-", "docker login -u ci ghcr.io/team-", "grep -a password /var/log/x.",
			"az account show -o table --query id", "curl -sS --user-agent Mozilla/5.0 https://example.com/", "psql -h db -U app -c select", "helm upgrade x ./chart --set image.tag=v1.") + fmt.Sprint(r.IntN(99))
	},
	"change": func(r *rand.Rand) string {
		return pickOf(r, "The token limit was changed to 4096 tokens per minute, quota ", "password policy set to 90days, level ", "state: active -> inactive since build ", "Cookie: we ask for consent, banner ", "max_tokens: 1024 -> 2048, step ", "License: Apache-2.0, revision ",
			"auth: oauth2, realm ", "Key: Value pairs are kept, item ", "moved from eu-west-1 to eu-central-1, cluster ", "title: Reset your password\nstatus: open\nnumber: ", "Authorization: Bearer authentication is used since v", "kind: Secret\nmetadata:\n  name: db-password\nrevision: ") + fmt.Sprint(r.IntN(99))
	},
	"response": func(r *rand.Rand) string {
		return "resp_" + base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "litellm:custom_llm_provider:openai;model_id:%s;response_id:resp_%s", hexDigits(r, 32), hexDigits(r, 48)))
	},
	"item": func(r *rand.Rand) string {
		return pickOf(r, "resp_", "msg_", "rs_", "fc_", "batch_", "vs_", "ftjob-", "conv_") + hexDigits(r, 50)
	},
	"managed file": func(r *rand.Rand) string {
		return base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "litellm_proxy:application/json;unified_id,%s;target_model_names,gpt-4o", hexDigits(r, 32)))
	},
	"shared document": func(r *rand.Rand) string {
		return "https://docs.example.com/document/d/" + drawn(r, base62+"-_", 44) + "/edit"
	},
	"typeid": func(r *rand.Rand) string {
		return pickOf(r, "user", "team", "acct", "inst") + "_01" + drawn(r, "0123456789abcdefghjkmnpqrstvwxyz", 24)
	},
	"prefixed id": func(r *rand.Rand) string {
		return pickOf(r, "user_2", "org_2", "sub_1", "price_1", "pm_1", "acct_1") + drawn(r, base62, 26)
	},
	"git": func(r *rand.Rand) string {
		return pickOf(r, "refs/heads/feature/", "main@", "release-", "app:main-", "app:sha-") + hexDigits(r, 40)
	},
	"model name": func(r *rand.Rand) string {
		names := []string{"Llama4Maverick17B128EInstructFP8", "Qwen3Coder480BA35BInstruct", "DeepSeekR1DistillQwen32B", "Phi4MiniReasoning", "claude3Opus20240229", "GeminiFlash25LitePreview0617"}
		return pickOf(r, names...) + "_" + pickOf(r, names...)
	},
	"table": func(r *rand.Rand) string {
		return pickOf(r, "| token | description |\n|---|---|\n| key | the name |", "| password | at least 12 characters | yes |\n| api_key | string | required |", "name|password|role\nbob|hidden|admin", "x = token | filter2024", "password|length") + fmt.Sprint(r.IntN(9))
	},
	"code": func(r *rand.Rand) string {
		return pickOf(r, `fields = ["password", "username", "email2fa"]`, `get_secret("db-prod-1")`, `token("identifier")`, `fields = ("password", "confirm_1")`, `getPassword("user1name")`, "password: Optional[str] = None", `auth("required")`, `assert_token("expired_token_1")`,
			`headers.get("Authorization", "none")`, `os.getenv("API_KEY", "")`, `set_key("theme", "dark2")`, `print("password", "changed")`, "- name: API_KEY\n  valueFrom:\n    secretKeyRef: {name: llm-keys, key: openai1}", "auth:\n  type: oauth2\n  provider: google") + "#" + fmt.Sprint(r.IntN(9))
	},
	"sentence": func(r *rand.Rand) string {
		return pickOf(r, "The secret to success is consistency2024.", "auth is required for v2beta endpoints,", "Das Kennwort lautet wie im Ticket INC0012345 beschrieben, Absatz", "Der Token war ungültig (Fehler 401), Versuch", "Le mot de passe est expiré depuis le 12/05/2026, note",
			"La clave es la constancia; el token es válido 30días, n.", "La password è scaduta il 12/05/2026, nota", "A senha é obrigatória desde 2024; item", "パスワードは2026年3月4日に変更されました。", "密码是必填项，长度为12位。", "密钥：见保险库第12页。", "Пароль: см. заявку 4711, п.", "note at 10:ping@10.0.0.7 and",
			"Password:\nminimum12", "state -> active2024 for key rotation", "Wachtwoord: zie kluis, sleutel 12 is vervangen, regel") + " " + fmt.Sprint(r.IntN(99))
	},
	"rotation": func(r *rand.Rand) string {
		return pickOf(r, "token has been rotated, new value will be shared via 1Password by 17:00, item ", "API key rotated. New one: ask ops-", "the key was rotated, it is now managed by team-", "password reset - new: link sent at 10:45, item ", "secret regenerated, now in eu-west-1, item ",
			"Neues Passwort: siehe Tresor, Eintrag ", "Passwort wurde am 12.11.2026 um 14:30 Uhr geändert, Nr. ", "contraseña cambiada a las 14:30, nota ", "senha alterada para o usuário joao2026, item ", "密码已重置，请在2026年12月前修改。", "We replaced the old token with OIDC federation in v1.", "replaced node with ip-10-0-3-") + fmt.Sprint(r.IntN(99))
	},
	"program": func(r *rand.Rand) string {
		return pickOf(r, "password = getpass.getpass('Password: ')", "secret: process.env.JWT_SECRET,", "if password != confirm_password1: raise ValueError", "token: Optional[Token2] = Field(default=None)", "auth = HTTPBasicAuth(user, password1)", "SELECT t1.user_name12 AS password FROM t1", "INSERT INTO users (name, password) VALUES ($1, $2)", "aws secretsmanager get-secret-value --secret-id prod/token-3",
			"cargo login --registry internal2", "<td>Password</td><td>required</td>", "**Password:** see vault, shelf", "ssh-keygen -t ed25519 -f id_ci") + " # " + fmt.Sprint(r.IntN(9))
	},
	"secretref": func(r *rand.Rand) string {
		return pickOf(r, "os.environ/OPENAI_API_KEY", "${DB_PASSWORD}", "file:/run/secrets/key", "vault://kv/prod#password")
	},
}

const base62 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

func bytesOf(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

func hexDigits(r *rand.Rand, n int) string { return hex.EncodeToString(bytesOf(r, n/2+1))[:n] }

func drawn(r *rand.Rand, alphabet string, n int) string {
	var b strings.Builder
	for range n {
		b.WriteByte(alphabet[r.IntN(len(alphabet))])
	}
	return b.String()
}

func pickOf(r *rand.Rand, from ...string) string { return from[r.IntN(len(from))] }

// CleanKeys are names that do not mean a secret, although some of their words do.
var CleanKeys = []string{"note", "id", "value", "team_alias", "key_alias", "key_name", "token_type", "api_key_id", "max_tokens", "public_key", "password_policy", "model", "created_by", "request_id", "sort_key", "etag", "image", "key_hash", "secret_name", "secret_version_id", "secret_rotation_date"}
