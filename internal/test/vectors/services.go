// Package vectors contains secrets, places that identify secrets, and values that are no
// secrets. They measure redaction independently of the shipped rules and their examples.
package vectors

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
)

// Services are token forms of services of 2025 and 2026. They were written from the
// documentation, independently of the shipped rules, so each checks the other.
var Services = [][2]string{
	{"anthropic oauth", `sk-ant-oat01-[A-Za-z0-9_-]{93}AA`}, {"anthropic session", `sk-ant-sid01-[A-Za-z0-9_-]{86}AA`}, {"openai project", `sk-proj-[A-Za-z0-9_-]{74}T3BlbkFJ[A-Za-z0-9_-]{74}`},
	{"deepseek", `sk-[a-f0-9]{32}`}, {"moonshot", `sk-[A-Za-z0-9]{48}`}, {"litellm virtual key", `sk-[A-Za-z0-9_-]{22}`}, {"helicone", `sk-helicone-[a-z0-9]{7}-[a-z0-9]{7}-[a-z0-9]{7}-[a-z0-9]{7}`},
	{"elevenlabs", `sk_[a-f0-9]{48}`}, {"wandb", `wandb_v1_[A-Za-z0-9]{27}_[A-Za-z0-9]{49}`}, {"posthog personal", `phx_[A-Za-z0-9]{43}`}, {"posthog feature flags", `phs_[A-Za-z0-9]{43}`},
	{"gemini auth key", `AQ.Ab8RN6[A-Za-z0-9_-]{44}`}, {"xai management", `xai-token-[A-Za-z0-9]{80}`}, {"brave search", `BSA[A-Za-z0-9_-]{28}`}, {"browserbase", `bb_live_[A-Za-z0-9_-]{27}`},
	{"daytona", `dtn_[a-f0-9]{64}`}, {"llamacloud", `llx-[A-Za-z0-9]{48}`}, {"runpod", `rpa_[A-Z0-9]{40}[a-z0-9]{6}`}, {"modal token secret", `as-[A-Za-z0-9]{22}`}, {"modal token id", `ak-[A-Za-z0-9]{22}`},
	{"anyscale", `esecret_[a-z0-9]{26}`}, {"logfire", `pylf_v1_us_[A-Za-z0-9]{43}`}, {"nebius", `v1.CmM[A-Za-z0-9_-]{180}`}, {"cursor", `key_[a-f0-9]{64}`}, {"cursor background agent", `crsr_[a-f0-9]{64}`},
	{"sourcegraph", `sgp_[a-f0-9]{16}_[a-f0-9]{40}`}, {"vercel personal", `vcp_[A-Za-z0-9]{56}`}, {"vercel ai gateway", `vck_[A-Za-z0-9]{56}`}, {"netlify", `nfp_[A-Za-z0-9]{36}`}, {"resend", `re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}`},
	{"cloudflare user token", `cfut_[A-Za-z0-9]{48}`}, {"cloudflare account token", `cfat_[A-Za-z0-9]{48}`}, {"airtable", `pat[A-Za-z0-9]{14}.[a-f0-9]{64}`}, {"figma", `figd_[A-Za-z0-9_-]{40}`}, {"asana", `2/[0-9]{16}/[0-9]{16}:[a-f0-9]{32}`},
	{"clickup", `pk_[0-9]{8}_[A-Z0-9]{32}`}, {"n8n", `n8n_api_[a-f0-9]{80}`}, {"circleci", `CCIPAT_[A-Za-z0-9]{22}_[a-f0-9]{40}`}, {"buildkite", `bkua_[a-f0-9]{40}`}, {"honeycomb", `hcaik_[0-9a-z]{58}`},
	{"axiom", `xaat-UUID`}, {"infisical", `st.[a-f0-9]{24}.[a-f0-9]{32}.[a-f0-9]{32}`}, {"sonarqube", `squ_[a-f0-9]{40}`}, {"crates.io", `cio[A-Za-z0-9]{32}`}, {"nuget", `oy2[a-z0-9]{43}`},
	{"braintree", `access_token$production$[a-z0-9]{16}$[a-f0-9]{32}`}, {"plaid", `access-production-UUID`}, {"twilio api key", `SK[a-f0-9]{32}`}, {"mailgun", `key-[a-f0-9]{32}`}, {"mandrill", `md-[A-Za-z0-9_-]{22}`},
	{"discord bot", `MT[A-Za-z0-9]{24}.[A-Za-z0-9_-]{6}.[A-Za-z0-9_-]{38}`}, {"discord webhook", `https://discord.com/api/webhooks/[0-9]{19}/[A-Za-z0-9_-]{68}`}, {"render", `rnd_[A-Za-z0-9]{28}`}, {"neon", `napi_[a-z0-9]{64}`},
	{"mongodb atlas", `mdb_sa_sk_[A-Za-z0-9_-]{40}`}, {"dbt cloud", `dbtc_[A-Za-z0-9_-]{44}`}, {"unkey", `unkey_[A-Za-z0-9]{24}`}, {"trigger.dev", `tr_prod_[A-Za-z0-9]{20}`}, {"inngest", `signkey-prod-[a-f0-9]{64}`},
	{"contentful", `CFPAT-[A-Za-z0-9_-]{43}`}, {"hubspot", `pat-na1-UUID`}, {"typeform", `tfp_[A-Za-z0-9_-]{59}`}, {"dropbox", `sl.u.[A-Za-z0-9_-]{150}`}, {"tailscale", `tskey-auth-k[A-Za-z0-9]{10}CNTRL-[A-Za-z0-9]{32}`},
	{"twitch", `oauth:[a-z0-9]{30}`}, {"azure devops", `[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}`}, {"azure openai", `[A-Za-z0-9]{52}JQQJ99BAACYeBjFXJ3w3AAABACOG[A-Za-z0-9]{4}`}, {"tencent", `AKID[A-Za-z0-9]{32}`}, {"yandex", `AQVN[A-Za-z0-9_-]{36}`},
	{"mapbox secret", `sk.eyJ1Ijoi[A-Za-z0-9]{60}.[A-Za-z0-9_-]{22}`}, {"launchdarkly", `sdk-UUID`}, {"statsig", `secret-[A-Za-z0-9]{44}`}, {"lob", `live_[a-f0-9]{35}`}, {"alchemy", `alcht_[A-Za-z0-9]{30}`},
	{"paddle", `pdl_live_apikey_[a-z0-9]{26}_[A-Za-z0-9]{22}_[A-Za-z0-9]{3}`}, {"polar", `polar_oat_[A-Za-z0-9]{43}`}, {"zuplo", `zpka_[a-f0-9]{32}_[a-f0-9]{8}`}, {"kong konnect", `kpat_[A-Za-z0-9]{48}`}, {"jetbrains", `perm-[A-Za-z0-9]{12}=.[A-Za-z0-9]{12}=.[A-Za-z0-9]{28}`},
	{"razorpay", `rzp_live_[A-Za-z0-9]{14}`}, {"adyen", `AQE[a-z]hmf[A-Za-z0-9+/]{80}`}, {"snyk", `snyk_uat.[a-f0-9]{8}.[A-Za-z0-9_-]{80}`}, {"gitlab oauth refresh", `gloas-[0-9a-zA-Z_-]{64}`}, {"gitlab workspace", `glwt-[0-9a-zA-Z_-]{20}`},
	{"hashicorp boundary", `at_[A-Za-z0-9]{10}_[A-Za-z0-9]{100}`}, {"checkly", `cu_[a-f0-9]{32}`}, {"ghost admin", `[a-f0-9]{24}:[a-f0-9]{64}`}, {"fal", `UUID:[a-f0-9]{32}`}, {"bitwarden", `0.UUID.[A-Za-z0-9]{30}:[A-Za-z0-9+/]{22}==`},
	{"salesforce session", `00D[A-Za-z0-9]{12}![A-Za-z0-9._]{96}`}, {"npm granular", `npm_[A-Za-z0-9]{36}`}, {"google refresh", `1//0[A-Za-z0-9_-]{60}`}, {"slack cookie", `xoxd-[A-Za-z0-9%]{60}`}, {"square production", `EAAAl[A-Za-z0-9_-]{59}`},
}

var formPart = regexp.MustCompile(`\[([^\]]+)\](?:\{([0-9]+)\})?|UUID`)

// Grow returns a random value of a form.
func Grow(r *rand.Rand, form string) string {
	return formPart.ReplaceAllStringFunc(form, func(part string) string {
		if part == "UUID" {
			return fmt.Sprintf("%s-%s-4%s-a%s-%s", hexDigits(r, 8), hexDigits(r, 4), hexDigits(r, 3), hexDigits(r, 3), hexDigits(r, 12))
		}
		m := formPart.FindStringSubmatch(part)
		n, _ := strconv.Atoi(cmp.Or(m[2], "1"))
		var set []byte
		for i := 0; i < len(m[1]); i++ {
			if i+2 < len(m[1]) && m[1][i+1] == '-' {
				for c := m[1][i]; c <= m[1][i+2]; c++ {
					set = append(set, c)
				}
				i += 2
				continue
			}
			set = append(set, m[1][i])
		}
		out := make([]byte, n)
		for i := range out {
			out[i] = set[r.IntN(len(set))]
		}
		return string(out)
	})
}
