package detect_test

import (
	"strings"
	"testing"

	"auditrelay/internal/detect"
)

// row is a text, its findings, and its name. In text, <> surround findings; a near miss has
// none.
type row struct{ text, key string }

const (
	random22 = "mJ3kq9ZsTb81LwXy0dVfPw"
	random36 = "x7Rk2mQ9vLc4Ht8WzB1nYp6Df3Gs5Jq0EaUi"
	sha256   = "88dc28d0f030c55ed4ab77ed8faf098196cb1c05df778539800c9f1243fe6b4b"
	aUUID    = "7c9e6679-7425-40de-944b-e07fc1f90ae7"
	jwtHead  = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9"
	jwtBody  = "eyJzdWIiOiJhdWRpdCJ9"
	keyLine  = "MIIEvQIBADANBgkqhkiG9w0BAQEFAASC"
	base6444 = "bXktZmFrZS1henVyZS1zZXJ2aWNlLWtleTAxMjM0NTY="
)

// cases has findings and near misses for every detector.
var cases = map[string]struct{ finds, misses []row }{
	"sk-key": {
		[]row{
			{"<sk-" + random22 + ">", ""}, {"use <sk-" + random22 + ">, please", ""}, {`{\"k\":\"<sk-` + random22 + `>\"}`, ""}, {"<sk-ant-api03-" + random22 + ">", ""},
			{"<sk-or-v1-" + sha256 + ">", ""}, {"<sk-lf-" + aUUID + ">", ""}, {`line\n<sk-` + random22 + ">", ""}, {"q=%20<sk-" + random22 + ">", ""},
			{"<sk-" + random22 + "> and <sk-" + random36 + ">", ""}, {"<sk-aBcDeFgHiJkLmNoPqRs>", ""},
		},
		[]row{{"sk-1234", ""}, {"sk-...4b0e", ""}, {"sk-my-team-key-for-search", ""}, {"task-" + random22, ""}, {"sk-learn-pipeline-preprocessing", ""}, {"sk-" + random22[:15], ""}},
	},
	"model-provider-key": {
		[]row{
			{"<hf_" + random36 + ">", ""}, {"<gsk_" + random36 + ">", ""}, {"<xai-" + random36 + ">", ""}, {"<pplx-" + random36 + ">", ""},
			{"<nvapi-" + random36 + ">", ""}, {"<r8_" + random36 + ">", ""},
		},
		[]row{{"hf_" + random22, ""}, {"shf_" + random36, ""}, {"xai-as-it-is-written-in-a-very-long-alias", ""}, {"hf_model_name_with_many_words_in_it", ""}},
	},
	"aws-access-key-id": {
		[]row{{"<AKIAIOSFODNN7EXAMPLE>", ""}, {"id=<ASIAIOSFODNN7EXAMPLE>;", ""}, {"<ABIAIOSFODNN7EXAMPLE>", ""}, {"<ACCAIOSFODNN7EXAMPLE>", ""}},
		[]row{{"AIDAIOSFODNN7EXAMPLE", ""}, {"AKIAIOSFODNN7EXAMPLE9", ""}, {"AKIAIOSFODNN7EXAMPL", ""}, {"XAKIAIOSFODNN7EXAMPLE", ""}, {"AKIAiosfodnn7example", ""}},
	},
	"aws-secret-access-key": {
		[]row{
			{"<wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY>", "AWS_SECRET_ACCESS_KEY"}, {"<wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY>", "awsSecretKey"},
			{"aws_secret_access_key = <wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY>", ""}, {`"secretAccessKey": "<wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY>"`, ""},
		},
		[]row{
			{"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""}, {"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "etag"},
			{"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKE", "secret_access_key"}, {"os.environ/AWS_SECRET_ACCESS_KEY_OF_STAGING", "secret_access_key"},
		},
	},
	"gcp-key": {
		[]row{{"<AIzaSyA-1234567890abcdefghijklmnopqrstu>", ""}, {"?key=<AIzaSyA-1234567890abcdefghijklmnopqrstu>&x", ""}, {"<GOCSPX-abcdefghij0123456789ABCDEF>", ""}, {"<ya29.a0AfH6SMBx-1234567890abcdefghij>", ""}},
		[]row{{"AIzaSyA-1234567890", ""}, {"relay@audit-demo.iam.gserviceaccount.com", ""}, {"GOCSPX-short", ""}, {"29.5", ""}, {"ya29.x", ""}},
	},
	"azure-client-secret": {
		[]row{{"<abc8Q~defghijklmnopqrstuvwxyz0123456789>", ""}, {"secret <_~.8Q~defghijklmnopqrstuvwxyz0123456789>", ""}},
		[]row{{"abcdQ~defghijklmnopqrstuvwxyz0123456789", ""}, {"abc8Q~defghijklmnopqrstuvwxyz", ""}, {"8Q~defghijklmnopqrstuvwxyz0123456789", ""}},
	},
	"azure-key": {
		[]row{
			{"DefaultEndpointsProtocol=https;AccountKey=<" + base6444 + ">;EndpointSuffix=core.windows.net", ""}, {"SharedAccessKey=<" + base6444 + ">", ""},
			{"<" + base6444 + ">", "storageAccountKey"}, {"https://a.blob.core.windows.net/c?sv=2022&sig=<qJ%2FmB2k1oTbLyBa8V2Xh0aQ3kN3bY9pE6Vq%2Bz5RmF8s%3D>&se=2026", ""},
		},
		[]row{{"AccountKey=short", ""}, {base6444, ""}, {"AccountKey=" + strings.Repeat("=", 44), ""}, {"sig=abc123", ""}, {"AccountName=" + base6444, ""}},
	},
	"github-token": {
		[]row{
			{"<ghp_" + random36 + ">", ""}, {"<gho_" + random36 + ">", ""}, {"<ghu_" + random36 + ">", ""}, {"<ghs_" + random36 + ">", ""}, {"<ghr_" + random36 + ">", ""},
			{"<github_pat_11ABCDEFG0123456789_" + random36 + random22 + ">", ""}, {"https://<ghp_" + random36 + ">@github.com/o/r", ""},
		},
		[]row{{"ghp_" + random22, ""}, {"high_" + random36, ""}, {"ghx_" + random36, ""}, {"github_pat_11", ""}, {"0123456789abcdef0123456789abcdef01234567", ""}},
	},
	"gitlab-token": {
		[]row{{"<glpat-0123456789abcdefABCD>", ""}, {"<glrt-0123456789abcdefABCD>", ""}, {"<gldt-0123456789abcdefABCD>", ""}, {"<glptt-0123456789abcdefABCD>", ""}},
		[]row{{"glpat-0123", ""}, {"glpat-as-a-prefix-of-tokens", ""}, {"single-0123456789abcdefABCD", ""}},
	},
	"slack-token": {
		[]row{
			{"<xoxb-123456789012-abcdefGHIJKL>", ""}, {"<xoxp-123456789012-abcdefGHIJKL>", ""}, {"<xapp-1-A0123456789-123456789012-abcdef>", ""},
			{"<xoxa-2-123456789012-abcdef>", ""}, {"<xoxr-123456789012-abcdef>", ""}, {"<xoxs-123456789012-abcdef>", ""}, {"xoxe.<xoxp-1-123456789012-abcdef>", ""},
			{"https://<hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx>", ""}, {"<hooks.slack.com/workflows/T00000000/A00000000/1234>", ""},
		},
		[]row{{"xoxb-not-a-token-at-all", ""}, {"xoxz-123456789012-abcdefGHIJKL", ""}, {"https://hooks.slack.com/services/", ""}, {"https://slack.com/services/T00000000/B00000000/x", ""}, {"whatsapp-1-A0123456789-123456789012", ""}},
	},
	"stripe-key": {
		[]row{{"<sk_live_0123456789abcdefABCDEF>", ""}, {"<rk_live_0123456789abcdefABCDEF>", ""}, {"<whsec_0123456789abcdefABCDEFGH>", ""}},
		[]row{{"pk_live_0123456789abcdefABCDEF", ""}, {"task_live_0123456789abcdefABCDEF", ""}, {"sk_live_short", ""}},
	},
	"prefixed-token": {
		[]row{
			{"<acme_live_q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1>", ""}, {"use <acme-q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1>, please", ""}, {"<nango_sk_q7Zk2mXv9TbL4wRy8nDs6HcP>", ""}, {"<svc_pat_9f86d081884c7d659a2feaa0c55ad015>", ""},
			{"<acme_q7zk2mxv9tbl4wry8nds6hcpx3jf5vg1w2>", ""}, {`key\n<acme_q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1>`, ""}, {"<secret_default_9f86d081884c7d659a2feaa0c55ad015.q7Zk2mXv9TbL4wRy8nDs6HcP>", ""},
		},
		[]row{
			{"resp_q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1", ""}, {"user_9f86d081884c7d659a2feaa0c55ad015", ""}, {"acme_q7Zk2mXv9TbL4wRy8nDs6H", ""}, {"sha384-q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1q7Zk2mXv9TbL4wRy8nDs6HcP", ""},
			{"Llama4Maverick17B128EInstructFP8_Qwen3Coder480BA35BInstruct", ""}, {"token-refresher-5d8f7c9b4-x2k5j", ""}, {"a_q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1", ""}, {"acme_" + aUUID, ""}, {"acme_the_name_of_a_very_long_feature_flag_2024", ""},
		},
	},
	"unmarked-key": {
		[]row{
			{"<KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn>", ""}, {"use <SAV76USXIJOBMEQXPANUOQM6F5LIOTLPDIDVRJBFFE2MDJXG24TAPUU7>, please", ""}, {"<2Zk9mXv7TbL4wRy8nDs6HcPx3J4_q7Zk2mXv9TbL4wRy8nDs6>", ""},
			{"<11e4a1b6c8d0f2a4b6c8d0e2f4a6b8c0d2>", ""}, {`key\n<11e4a1b6c8d0f2a4b6c8d0e2f4a6b8c0d2>`, ""}, {"<5f3e2a1b4c6d7e8f9a0b1c2d:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08>", ""},
			{"<" + aUUID + ":9f86d081884c7d659a2feaa0c55ad015>", ""}, {"<9f86d081884c7d659a2feaa0c55ad015.q7Zk2mXv9TbL4wRy>", ""},
		},
		[]row{
			{"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", ""}, {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", ""}, {"x11e4a1b6c8d0f2a4b6c8d0e2f4a6b8c0d2", ""}, {aUUID + ":" + aUUID, ""},
			{"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", ""}, {"9f86d081884c7d659a2feaa0c55ad015.json", ""}, {"QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", ""},
		},
	},
	"jwt": {
		[]row{
			{"<" + jwtHead + "." + jwtBody + ".c2lnbmF0dXJlLWlzLWZha2U>", ""}, {"t=<" + jwtHead + "." + jwtBody + ".c2ln>;", ""}, {"<" + jwtHead + "." + jwtBody + ">", ""}, // truncated
			{"<eyJhbGciOiJSU0EtT0FFUCIsImVuYyI6IkEyNTZHQ00ifQ.a2V5a2V5a2V5.aXY.Y2lwaGVy.dGFn>", ""}, // encrypted
		},
		[]row{{jwtHead, ""}, {jwtHead + ".", ""}, {jwtBody + "." + jwtHead, ""}, {"x" + jwtHead + "." + jwtBody, ""}, {"eyJ1c2VyIjoxfQ.Zm9vYmFyYmF6.c2lnbmF0dXJl", ""}, {"eyJ.eyJ.eyJ", ""}},
	},
	"private-key": {
		[]row{
			{"<-----BEGIN PRIVATE KEY-----\n" + keyLine + "\n-----END PRIVATE KEY----->\n", "private_key"}, {`"<-----BEGIN RSA PRIVATE KEY-----\n` + keyLine + `\n-----END RSA PRIVATE KEY----->\n"`, ""},
			{"<-----BEGIN OPENSSH PRIVATE KEY----- " + keyLine + " -----END OPENSSH PRIVATE KEY----->", ""}, {"<-----BEGIN EC PRIVATE KEY-----\n" + keyLine + ">", ""},
			{`{"k": "<-----BEGIN PRIVATE KEY-----\n` + keyLine + `\nMII>"}`, ""},
			{"<-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\n" + keyLine + "\n-----END RSA PRIVATE KEY----->", ""},
			{"<-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.0.22 (GNU/Linux)\n\n" + keyLine + "\n=aBcD\n-----END PGP PRIVATE KEY BLOCK----->", ""},
		},
		[]row{
			{"-----BEGIN PUBLIC KEY-----\n" + keyLine + "\n-----END PUBLIC KEY-----", ""}, {"-----BEGIN CERTIFICATE-----\n" + keyLine + "\n-----END CERTIFICATE-----", ""},
			{"-----BEGIN PRIVATE KEY-----", ""}, {"a PRIVATE KEY----- without its beginning " + keyLine, ""}, {"-----BEGIN PRIVATE KEY----- is how it begins", ""},
		},
	},
	"basic-auth-url": {
		[]row{
			{"postgres://relay:<hunter2>@db.example.com/audit", ""}, {"see https://u:<p:q@r>@h/x", ""}, {"redis://:<hunter2>@cache:6379", ""}, {"https://<" + random22 + ">@h/x", ""}, {"https://<" + random22 + ">:@h/x", ""},
			{"a://b:<c>@d", ""}, {"mongodb+srv://u:<p>@h1,h2/x and amqp://u:<q>@h", ""},
		},
		[]row{
			{"https://llm.example.com/v1?at=a:b@c", ""}, {"https://host:8080/x@y", ""}, {"ssh://git@github.com/o/r", ""}, {"https://u:***@h", ""}, {"https://u:<password>@h", ""},
			{"https://u:${PASSWORD}@h", ""}, {"https://u@h", ""}, {"https://u:@h", ""}, {"://u:p@h", ""}, {"mailto:a@example.com", ""},
		},
	},
	"authorization": {
		[]row{{"Bearer <mF9B5f41JqMn7rTz>", ""}, {"Authorization: bearer  <" + random22 + ">", ""}, {"BEARER <" + jwtHead + "." + jwtBody + ".x>, next", ""}, {"Basic <cmVsYXk6aHVudGVyMg==>", ""}, {"basic <cmVsYXk6aHVudGVyMg>", "x"}},
		[]row{{"Bearer authentication-required-here", ""}, {"Bearer token", ""}, {"a basic understanding of it", ""}, {"forbearer mF9B5f41JqMn7rTz", ""}, {"Basic Zm9vYmFyYmF6cXV4", ""}, {"Digest mF9B5f41JqMn7rTz", ""}},
	},
	"named-secret": {
		[]row{
			{"<c0rrect-h0rse>", "dbPassword"}, {"<hunter2-hunter2>", "password"}, {"<Summer2024>", "PASSWD"}, {"<correct-horse-battery-staple>", "pass-phrase"}, {"<pw!x9Zq1>", "smtp_pass"}, {" <hunter22>\n", "passwords"},
			{"<9f86d081884c7d659a2feaa0c55ad015>", "azure_api_key"}, {"<" + random22 + ">", "X-API-Key"}, {"<" + random22 + ">", "accessToken"}, {"<" + random22 + ">", "credentials"}, {"<" + random22 + ">", "token2"},
			{"<" + sha256 + ">", "client_secret"}, {"<" + sha256 + ">", "encryption_key"}, {"<" + sha256 + "0>", "token"}, {"<" + strings.ToUpper(sha256) + ">", "token"}, {"<sha256:" + sha256 + ">", "token"},
			{`{"password": "", "password": "<hunter2-hunter2>"}`, ""}, {`{\"max\": NaN, \"password\": \"<hunter2-hunter2>\"}`, ""}, {"https://h/x?api_key=<" + random22 + ">&y=1", ""}, {"Server=db;Pwd=<hunter2x>;", ""},
			{"the API key: <" + random22 + ">", ""}, {"export TOKEN='<" + random22 + ">'", ""}, {"password := <hunter2x>", ""}, {"secret => <hunter2x>", ""}, {`password: "<hunter2,x&y>"`, ""},
			{"token=<" + random22 + "> password=<hunter2x>", ""}, {"password is <c0rrect-h0rse>", ""}, {"token=<" + sha256 + ">", ""}, {"<" + sha256 + ">", "vault_token"},
			{"password          = <hunter2-Fall>", ""}, {"user:          app\npassword:      <hunter2-Fall>\n", ""}, {"--token <" + random22 + "> --verbose", ""}, {"mysql --password=<sunshine> -u root", ""}, {"curl -u bot:<sunshine> https://h", ""},
			{"DB_PASSWORD=<sunshine>\nPORT=5432", ""}, {"Server=db;Pwd=<sunshine>;", ""},
			{"password: |\n  <hunter2-Fall>\n", ""}, {"os.environ['API_KEY'] = '<" + random22 + ">'", ""}, {"CREATE USER x IDENTIFIED BY '<sunshine>'", ""},
			{"Authorization: token <" + random22 + ">", ""}, {"token <" + random22 + ">", "Authorization"}, {"<" + random22 + ">", "AWS_BEARER_TOKEN_BEDROCK"}, {"<" + random22 + ">", "API_KEY_EU"}, {"<hunter2x>", "password_old"}, {"<hunter2x>", "password1"},
			{"<hunter2x>", "Passwort"}, {"<hunter2x>", "contraseña"}, {"<hunter2x>", "mot_de_passe"}, {"<hunter2x>", "ПАРОЛЬ"}, {"<hunter2x>", "密码"}, {"пароль: <hunter2x>", ""}, {"<" + random22 + ">", "oci_key"}, {`{"password": "<c0rrect-h0rse`, ""},
		},
		[]row{
			{sha256, "key_hash"}, {sha256, "changed_by_api_key"}, {"changed_by_api_key=" + sha256, ""}, {"hmac:archive:0123456789abcdef0123456789abcdef", "password"}, {"by hmac:api-key:0123456789abcdef0123456789abcdef.", ""},
			{"password=hmac:archive:0123456789abcdef0123456789abcdef", ""}, {aUUID, "token"}, {random22, "token_type"}, {"hunter2x", "password_policy"}, {random22, "public_key"}, {random22, "tokens"}, {random22, "cost_per_token"}, {"DB_PASSWORD=required", ""}, {"password: sunshine", ""}, {"***", "password"}, {"************", "password"}, {"[REDACTED]", "password"}, {"os.environ/DB_PASSWORD_1", "password"}, {"${DB_PASSWORD_1}", "secret"},
			{"file:/run/secrets/db-password-1", "password"}, {"arn:aws:secretsmanager:eu-central-1:123456789012:secret:db-AbCdEf", "secret"}, {"required", "password"}, {"n/a", "password"}, {"ask in #help 4 it", "password"}, {"correct-horse", "password"}, {"a.very.long.name@example.com", "secret"},
			{"c0rrect-h0rse", ""}, {"c0rrect-h0rse", "note"}, {"c0rrect-h0rse", "password_hint"}, {"c0rrect-h0rse", "bypass"}, {random22, "key"}, {random22, "max_tokens_name"}, {"0.0000025", "input_cost_per_token"}, {"2025-06-01T08:00:00.123456+00:00", "token"},
			{"gpt-4o-mini-2024-07-18", "token"}, {"us.anthropic.claude-3-5-sonnet-20241022-v2:0", "api_key"}, {"12345678901234567890", "api_key"}, {"LiteLLM_VerificationTokenTable", "token"}, {"c0rrect-h0rse", "as"}, {"c0rrect-h0rse", "s"}, {"c0rrect-h0rse", "7"}, {"password: ", ""},
		},
	},
	"email": {
		[]row{{"<a.jansen@example.com>", ""}, {"Anna <<a.jansen+x@mail.example.co.uk>>.", ""}, {"mailto:<a@b.de>?x", ""}, {"<größe@example.com>", ""}, {"to=<a@b.de>, <c@d.org>.", ""}, {"<анна@почта.рф>", ""}, {"<anna@xn--80a1acny.xn--p1ai>", ""}},
		[]row{{"root@localhost", ""}, {"@example.com", ""}, {"pkg@1.2.3", ""}, {"a@b.c", ""}, {"a @example.com", ""}, {"a@example..com", ""}, {"a@@", ""}},
	},
	"ip-address": {
		[]row{
			{"<192.0.2.17>", ""}, {"from <10.1.2.3>:8080", ""}, {"https://<203.0.113.9>/x", ""}, {"[<2001:db8::8a2e:370:7334>]:443", ""}, {"<2001:0db8:0000:0000:0000:8a2e:0370:7334>.", ""}, {"<fe80::1>%eth0", ""}, {"::ffff:<192.0.2.1>", ""},
			{"<2001:db8::192.0.2.1>", ""}, {"<fd00::>", ""}, {`a\n<192.0.2.17>`, ""}, {`a\u0020<192.0.2.17>`, ""}, {"a=%20<192.0.2.17>", ""}, {`a\n<2001:db8::8a2e:370:7334>`, ""}, {"a%20<2001:db8::8a2e:370:7334>", ""},
		},
		[]row{
			{"v1.2.3.4", ""}, {"version 1.2.3.4", ""}, {"version: 1.2.3.4", ""}, {"1.2.3.4-rc1", ""}, {"1.2.3.4.5", ""}, {"1.2.3", ""}, {"1.2.3.256", ""}, {"01.2.3.4", ""}, {"127.0.0.1", ""}, {"0.0.0.0", ""}, {"255.255.255.255", ""},
			{"Chrome/120.0.0.0", ""}, {"lib-1.2.3.4", ""}, {"42.170535", ""}, {"08:00:00.123", ""}, {"aa:bb:cc:dd:ee:ff", ""}, {"2001:db8", ""}, {"std::vector", ""}, {"dead::beef", ""}, {"::1", ""}, {"2001:db8:::1", ""}, {"2001:0db8:0:0:0:8a2e:370:7334:1", ""}, {"2001:db8::12345", ""},
		},
	},
	"phone-number": {
		[]row{{"<+49 30 901820>", ""}, {"call <+1 (212) 555-0123>.", ""}, {"tel:<+442079460958>", ""}, {"<(212) 555-0123>", ""}, {"<212-555-0123>, or <212.555.0123>", ""}, {`a\n<212-555-0123>`, ""}, {"a=%20<212-555-0123>", ""}},
		[]row{{"2025-06-01T08:00:00+00:00", ""}, {"+1", ""}, {"+0123456789", ""}, {"+1234567890123456", ""}, {"a+12345678", ""}, {"112-555-0123", ""}, {"212-555-01234", ""}, {"212555012", ""}, {"2125550123", ""}, {"1-212-555-0123-9", ""}, {aUUID, ""}, {"+10.5 percent", ""}},
	},
	"card-number": {
		[]row{
			{`a\n<4111111111111111>`, ""}, {`a\u0020<4111111111111111>`, ""}, {"a=%20<4111111111111111>", ""},
			{"<4111111111111111>", ""}, {"<4111 1111 1111 1111>, exp", ""}, {"<5555-5555-5555-4444>.", ""}, {"<3782 822463 10005>", ""}, {"<378282246310005>", ""}, {"<30569309025904>", ""}, {"<6011111111111117>", ""}, {"<3530111333300000>", ""},
			{"<4222222222222>", ""}, {"<2223003122003222>", ""},
		},
		[]row{
			{"4111111111111112", ""}, {"4111 1111 11111111", ""}, {"4111-1111 1111-1111", ""}, {"x4111111111111111", ""}, {"4111111111111111x", ""}, {"0.4111111111111111", ""}, {"4111111111111111.5", ""}, {"1111111111111117", ""}, {"1748764800123", ""}, {"41111111111111", ""}, {"4111-1111-1111-1111-1111-1111", ""},
		},
	},
	"iban": {
		[]row{{"<DE89370400440532013000>", ""}, {"<HN88CABF00000000000250005469>", ""}, {"<EG380019000500000000263180002>", ""}, {"<YE15CBYE0001018861234567891234>", ""}, {"to <DE89 3704 0044 0532 0130 00>.", ""}, {"<GB82WEST12345698765432>", ""}, {"<NO9386011117947>", ""}, {"<MT84MALT011000012345MTLCAST001S>", ""}, {"<DE89-3704-0044-0532-0130-00>", ""}},
		[]row{{"DE88370400440532013000", ""}, {"DE8937040044053201300", ""}, {"DE893704004405320130000", ""}, {"XX89370400440532013000", ""}, {"de89370400440532013000", ""}, {"XDE89370400440532013000", ""}, {"DE89 37 04 00 44 05 32 01 30 00", ""}},
	},
}

// Each detector alone finds the findings in its line, and none of the near misses.
func TestCases(t *testing.T) {
	for name, rows := range cases {
		t.Run(name, func(t *testing.T) {
			s, all := newSet(t, name), newSet(t, "secrets", "pii")
			if len(rows.finds) == 0 || len(rows.misses) < 3 {
				t.Fatal("no cases")
			}
			for _, r := range rows.finds {
				text, want := marked(r.text)
				if got := render(text, s.Append(nil, []byte(text), s.Name([]byte(r.key)))); got != want {
					t.Errorf("%q under %q: %q, want %q", text, r.key, got, want)
				}
				if !s.Detects([]byte(text), s.Name([]byte(r.key))) || !all.Detects([]byte(text), s.Name([]byte(r.key))) {
					t.Errorf("%q under %q is not detected", text, r.key)
				}
			}
			for _, r := range rows.misses {
				if got := s.Append(nil, []byte(r.text), s.Name([]byte(r.key))); len(got) > 0 {
					t.Errorf("%q under %q: %+v", r.text, r.key, got)
				}
				if s.Detects([]byte(r.text), s.Name([]byte(r.key))) {
					t.Errorf("%q under %q is detected", r.text, r.key)
				}
			}
		})
	}
	for _, info := range detect.Shipped().All() {
		s := newSet(t, info.Name)
		if got := s.Append(nil, []byte(info.Example), s.Name([]byte(info.ExampleUnder))); len(got) != 1 || got[0].Detector != info.Name {
			t.Errorf("%s: its own example: %+v", info.Name, got)
		}
		if _, ok := cases[info.Name]; info.Rule == nil && !ok {
			t.Errorf("%s is code and has no cases", info.Name)
		}
	}
}

// XML uses the same marks itself.
func TestElements(t *testing.T) {
	s := newSet(t, "named-secret")
	for text, want := range map[string]string{
		"<password>sunshine</password>":                           "sunshine",
		"<db:Password>\n  sunshine\n</db:Password>":               "sunshine",
		`<add key="ApiToken" value="` + random22 + `"/>`:          random22,
		`<entry key="db.password">sunshine</entry>`:               "sunshine",
		"<key>Password</key>\n<string>sunshine</string>":          "sunshine",
		"<secret><![CDATA[sun&shine]]></secret>":                  "sun&shine",
		"<passwordPolicy>strict</passwordPolicy>":                 "",
		"<user>sunshine</user>":                                   "",
		"<password/><user>sunshine</user>":                        "",
		"a password -> sunshine, and <b>sunshine</b>":             "",
		`<add key="Timeout" value="` + random22 + `"/>`:           "",
		`<a name="token"/><add key="x" value="` + random22 + `">`: "",
	} {
		got := ""
		for _, f := range s.Append(nil, []byte(text), detect.Name{}) {
			got += text[f.Start:f.End]
		}
		if got != want {
			t.Errorf("%s: found %q, want %q", text, got, want)
		}
	}
}

// The relay's own events are full of these values. No detector of secrets may match any.
func TestNoSecrets(t *testing.T) {
	s := newSet(t, "secrets")
	for _, text := range []string{
		aUUID, "hmac:archive:0123456789abcdef0123456789abcdef", "***", "gpt-4o", "claude-3-5-sonnet-20241022", "azure/gpt-4o-mini-2024-07-18", "2025-06-01T08:00:00.123456+00:00",
		"a.jansen@example.com", "sk-...88dc", "LiteLLM_VerificationToken", "default_user_id", "https://search.openai.azure.example/", "s3://audit-prod/2025/06/01/08.ndjson.gz", "arn:aws:iam::123456789012:role/Audit",
		"0.0000025", "-1.5e300", "os.environ/OPENAI_API_KEY", "file:/run/secrets/key", "text-embedding-3-small",
	} {
		for _, key := range []string{"", "token", "api_key", "changed_by_api_key", "object_id", "note"} {
			if got := s.Append(nil, []byte(text), s.Name([]byte(key))); len(got) > 0 {
				t.Errorf("%q under %q: %+v", text, key, got)
			}
		}
	}
}

func TestNames(t *testing.T) {
	if _, err := detect.Shipped().Set("sk-key", "pii", "secrets", "sk-key"); err != nil {
		t.Error(err)
	}
	_, err := detect.Shipped().Set("secret", "jwt", "e-mail")
	if err == nil || err.Error() != "no detector is called e-mail, secret: did you mean email, secrets? auditrelay detectors list prints all" {
		t.Fatal(err)
	}
	_, err = detect.Shipped().Set("nothing-like-it-at-all")
	if err == nil || err.Error() != "no detector is called nothing-like-it-at-all: auditrelay detectors list prints all" {
		t.Fatal(err)
	}
	none := newSet(t)
	if none.Detects([]byte("sk-"+random22), none.Name([]byte("token"))) {
		t.Error("no detector detects")
	}
	one := newSet(t, "jwt")
	if one.Detects([]byte("sk-"+random22), one.Name([]byte("token"))) {
		t.Error("another detector than the one that was named")
	}
}

// marked removes the marks from a row. It returns the text, and the expected output of render.
// A double mark stands for the character itself.
func marked(row string) (text, want string) {
	row = strings.ReplaceAll(strings.ReplaceAll(row, "<<", "\x01<"), ">>", ">\x02")
	row = strings.ReplaceAll(row, "=> ", "=\x02 ")
	if strings.Count(row, "<") > strings.Count(row, ">") {
		row += ">"
	}
	plain := strings.NewReplacer("\x01", "<", "\x02", ">")
	return plain.Replace(strings.NewReplacer("<", "", ">", "").Replace(row)), row
}

// render puts marks around findings.
func render(text string, found []detect.Finding) string {
	var b strings.Builder
	at := 0
	escape := strings.NewReplacer("<", "\x01", ">", "\x02")
	for _, f := range found {
		b.WriteString(escape.Replace(text[at:f.Start]) + "<" + escape.Replace(text[f.Start:f.End]) + ">")
		at = f.End
	}
	return b.String() + escape.Replace(text[at:])
}
