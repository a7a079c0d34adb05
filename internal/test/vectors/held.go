package vectors

// Held are token forms: a fifth check, written from memory of vendors' documentation and of
// public secret scanners' lists, without a look at the rules or at any source. Lengths may
// differ from the vendors' own. Eight forms were corrected after the first run, where a vendor
// fixes a character that they left open. docs/reference/detectors.md states how many were found
// before the rules were improved with this list.
var Held = [][2]string{
	// cloud and infrastructure
	{"login with amazon", `Atza|[A-Za-z0-9_-]{220}`}, {"azure devops", `[A-Za-z0-9]{52}JQQJ99[A-Z0-9]{2}ACAAAAAAAAAAAA[A-Z0-9]{4}AZDO[A-Za-z0-9]{4}`}, {"azure cosmos", `[A-Za-z0-9+/]{76}ACDb[A-Za-z0-9+/]{5}Q==`}, {"azure storage", `[A-Za-z0-9+/]{76}+ASt[A-Za-z0-9+/]{6}==`},
	{"azure functions", `[A-Za-z0-9_-]{44}AzFu[A-Za-z0-9_-]{6}==`}, {"azure search", `[A-Za-z0-9]{42}AzSe[A-Za-z0-9]{6}`}, {"azure service bus key", `[A-Za-z0-9+/]{33}+ASb[A-P]{1}[A-Za-z0-9+/]{5}=`}, {"azure event hub key", `[A-Za-z0-9+/]{33}+AEh[A-P]{1}[A-Za-z0-9+/]{5}=`},
	{"azure iot", `[A-Za-z0-9+/]{33}AIoT[A-P]{1}[A-Za-z0-9+/]{5}=`}, {"azure container registry", `[A-Za-z0-9+/]{42}+ACR[A-D]{1}[A-Za-z0-9]{5}`}, {"azure cache", `[A-Za-z0-9]{33}AzCa[A-P]{1}[A-Za-z0-9]{5}=`}, {"azure openai", `[A-Za-z0-9]{52}JQQJ99[A-Z0-9]{2}ACYeBjFXJ3w3AAABACOG[A-Za-z0-9]{4}`},
	{"azure batch", `[A-Za-z0-9+/]{76}+ABa[A-Za-z0-9+/]{6}==`}, {"firebase server", `AAAA[A-Za-z0-9_-]{7}:APA91b[A-Za-z0-9_-]{134}`}, {"baidu", `bce-v3/ALTAK-[A-Za-z0-9]{21}/[a-f0-9]{40}`}, {"volcengine", `AKLT[A-Za-z0-9]{43}`}, {"yandex iam", `t1.9eue[A-Za-z0-9_-]{120}.[A-Za-z0-9_-]{86}`},
	{"yandex cloud secret", `YC[A-Za-z0-9_-]{38}`}, {"cloudflare key", `cfk_[A-Za-z0-9]{40}`}, {"aiven password", `AVNS_[A-Za-z0-9_-]{19}`}, {"aiven token", `aivenv1[A-Za-z0-9+/]{200}`}, {"datastax", `AstraCS:[A-Za-z]{24}:[a-f0-9]{64}`}, {"neon password", `npg_[A-Za-z0-9]{12}`},
	{"netlify oauth", `nfo_[A-Za-z0-9]{36}`}, {"defined networking", `dnkey-[A-Z0-9]{26}-[A-Z0-9]{52}`}, {"kubeadm", `[a-z0-9]{6}.[a-z0-9]{16}`}, {"nats user seed", `SU[A-D]{1}[A-Z2-7]{55}`}, {"nats account seed", `SA[A-D]{1}[A-Z2-7]{55}`}, {"vault recovery", `hvr.[A-Za-z0-9]{24}`},
	{"doppler audit", `dp.audit.[A-Za-z0-9]{43}`}, {"temporal", `tmprl_[A-Za-z0-9]{32}_[A-Za-z0-9]{64}`}, {"localstack", `ls-[a-zA-Z]{4}[0-9]{4}-[a-zA-Z0-9]{4}-[0-9]{4}-[a-zA-Z0-9]{4}-[a-zA-Z0-9]{12}`},
	// developers' tools
	{"adafruit", `aio_[A-Za-z0-9]{28}`}, {"asana", `2/1200[0-9]{12}/1200[0-9]{12}:[a-f0-9]{32}`}, {"bitbucket server", `BBDC-[A-Za-z0-9+/]{44}`}, {"buildkite agent", `bkct_[A-Za-z0-9]{64}`}, {"sourcegraph license", `slk_[a-f0-9]{64}`}, {"sonarqube project", `sqp_[a-f0-9]{40}`},
	{"aikido", `AIK_CI_[A-Za-z0-9]{64}`}, {"youtrack", `perm:[A-Za-z0-9]{14}==.[A-Za-z0-9]{10}==.[A-Za-z0-9]{30}`}, {"postman collection", `PMAT-[A-Z0-9]{26}`}, {"ionic", `ion_[A-Za-z0-9]{42}`}, {"figma oauth", `figo_[A-Za-z0-9_-]{40}`}, {"clickup", `pk_[0-9]{7}_[A-Z0-9]{32}`},
	{"sanity", `sk[A-Za-z0-9]{80}`}, {"canva", `cnvca[A-Za-z0-9_-]{51}`}, {"valtown", `vtwn_[A-HJ-NP-Za-km-z1-9]{26}`}, {"hex", `hxtp_[a-f0-9]{90}`}, {"tableau", `[A-Za-z0-9+/]{22}==:[A-Za-z0-9]{32}`}, {"rapidapi", `[a-f0-9]{10}msh[a-f0-9]{15}p1[a-f0-9]{6}jsn[a-f0-9]{12}`},
	{"dropbox short", `sl.[A-Za-z0-9_-]{136}`}, {"logicmonitor", `lmb_[A-Za-z0-9]{40}`}, {"pagerduty", `pdus+_0XBPWQQ_UUID`}, {"pagerduty user", `u+[A-Za-z0-9_-]{18}`}, {"mergify", `mka_[A-Za-z0-9]{50}`}, {"gitpod", `gitpod_pat_[A-Za-z0-9_-]{64}`},
	// models
	{"langsmith old", `ls__[a-f0-9]{32}`}, {"lambda", `secret_lambda_[a-f0-9]{32}.[A-Za-z0-9]{32}`}, {"nomic", `nk-[A-Za-z0-9_-]{43}`}, {"zep", `z_eyJhbGciOiJIUzI1NiJ9.eyJ[A-Za-z0-9_-]{60}.[A-Za-z0-9_-]{43}`}, {"arcade", `arc_o1[A-Za-z0-9]{48}`},
	// money
	{"checkout", `sk_UUID`}, {"ebay", `PRD-[a-f0-9]{12}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}-[a-f0-9]{4}`}, {"flutterwave live", `FLWSECK-[a-f0-9]{32}-X`}, {"persona", `persona_production_UUID`}, {"onfido", `api_live.[A-Za-z0-9_-]{11}.[A-Za-z0-9_-]{32}`}, {"paystack", `sk_live_[a-f0-9]{40}`},
	{"revenuecat", `sk_[A-Za-z]{28}`}, {"bitcoin wif", `[KL]{1}[1-9A-HJ-NP-Za-km-z]{51}`}, {"bitcoin xprv", `xprv9s21ZrQH143K[1-9A-HJ-NP-Za-km-z]{95}`}, {"sui", `suiprivkey1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}`}, {"tezos", `edsk[1-9A-HJ-NP-Za-km-z]{50}`},
	// people and messages
	{"okta", `00[A-Za-z0-9_-]{40}`}, {"intercom", `dG9rOg[A-Za-z0-9+/]{53}=`}, {"mailgun new", `[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}`}, {"salesforce refresh", `5Aep861[A-Za-z0-9._]{76}`}, {"slack workflow", `xwfp-[0-9]{12}-[0-9]{12}-[A-Za-z0-9]{32}`}, {"telnyx", `KEY[0-9A-F]{32}_[A-Za-z0-9]{22}`},
	{"discord bot", `MT[A-Za-z0-9]{24}.G[A-Za-z0-9_-]{5}.[A-Za-z0-9_-]{38}`}, {"teams webhook", `https://acme.webhook.office.com/webhookb2/UUID@UUID/IncomingWebhook/[a-f0-9]{32}/UUID`}, {"google chat", `https://chat.googleapis.com/v1/spaces/AAAA[A-Za-z0-9]{7}/messages?key=x&token=[A-Za-z0-9_-]{43}`},
	{"zapier", `https://hooks.zapier.com/hooks/catch/[0-9]{7}/[a-z0-9]{7}/`}, {"samsara", `samsara_api_[A-Za-z0-9]{30}`}, {"nightfall", `NF-[a-zA-Z0-9]{32}`},
	{"logic app", `https://prod-12.westus.logic.azure.com:443/workflows/[a-f0-9]{32}/triggers/manual/paths/invoke?sp=x&sv=1.0&sig=[A-Za-z0-9_-]{43}`},
	// stored forms of passwords
	{"bcrypt", `$2b$12$[./A-Za-z0-9]{53}`}, {"sha512crypt", `$6$[A-Za-z0-9./]{16}$[A-Za-z0-9./]{86}`}, {"argon2", `$argon2id$v=19$m=65536,t=3,p=4$[A-Za-z0-9+/]{22}$[A-Za-z0-9+/]{43}`}, {"scram", `SCRAM-SHA-256$4096:[A-Za-z0-9+/]{22}==$[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}=`},
	{"yescrypt", `$y$j9T$[A-Za-z0-9./]{22}$[A-Za-z0-9./]{43}`}, {"django", `pbkdf2_sha256$600000$[A-Za-z0-9]{22}$[A-Za-z0-9+/]{43}=`},
	// more of all of these
	{"aws session", `IQoJb3JpZ2luX2Vj[A-Za-z0-9+/]{300}==`}, {"msa refresh", `M.C107_BL2.-[A-Za-z0-9*!]{140}`}, {"azure event grid", `[A-Za-z0-9]{33}AzEG[A-Za-z0-9]{6}=`}, {"databento", `db-[A-Za-z0-9]{29}`}, {"deepl free", `UUID:fx`}, {"dnsimple", `dnsimple_u_[A-Za-z0-9]{32}`},
	{"elastic service", `AAEAAWVsYXN0aWMv[A-Za-z0-9+/]{60}`}, {"formbricks", `fbk_[A-Za-z0-9_-]{43}`}, {"gitbook", `gb_api_[A-Za-z0-9]{40}`}, {"harvest", `[0-9]{7}.pt.[A-Za-z0-9_-]{86}`}, {"honeybadger", `hbp_[A-Za-z0-9]{36}`}, {"honeycomb", `hcaik_01[a-z0-9]{56}`}, {"keygen", `admin-[a-f0-9]{64}v3`},
	{"mintlify", `mint_[A-Za-z0-9]{40}`}, {"nylas", `nyk_v0_[A-Za-z0-9]{64}`}, {"oculus", `OC|[0-9]{16}|[a-f0-9]{32}`}, {"facebook app", `[0-9]{15}|[A-Za-z0-9_-]{27}`}, {"outline", `ol_api_[A-Za-z0-9]{38}`}, {"plane", `plane_api_[a-f0-9]{32}`}, {"retool", `retool_01[a-z0-9]{26}`},
	{"signalwire", `PT[a-f0-9]{48}`}, {"spectral", `spu-[a-z0-9]{32}`}, {"statsig console", `console-[A-Za-z0-9]{43}`}, {"sumsub", `prd:[A-Za-z0-9]{24}.[A-Za-z0-9]{32}`}, {"tally", `tly-[A-Za-z0-9]{32}`}, {"tolgee pat", `tgpat_[a-z0-9]{52}`}, {"tolgee project", `tgpak_[a-z0-9]{50}`},
	{"twitter access", `[0-9]{19}-[A-Za-z0-9]{40}`}, {"ubidots", `BBUS-[A-Za-z0-9]{30}`}, {"voiceflow", `VF.DM.[a-f0-9]{24}.[A-Za-z0-9]{16}`}, {"windsurf", `sk-ws-01-[A-Za-z0-9_-]{86}`}, {"amp", `sgamp_user_01[A-Z0-9]{24}_[a-f0-9]{64}`}, {"mixedbread", `mxb_[A-Za-z0-9]{40}`},
	{"cartesia", `sk_car_[A-Za-z0-9]{22}`}, {"twelvelabs", `tlk_[A-Z0-9]{36}`}, {"nebius", `v1.CmQ[A-Za-z0-9_-]{150}`}, {"parasail", `psk-[A-Za-z0-9_-]{36}`}, {"confident ai", `confident_us_proj_[A-Za-z0-9+/]{44}`}, {"vectara", `zwt_[A-Za-z0-9_-]{38}`}, {"ragie", `tnt_[A-Za-z0-9]{60}`},
	{"agentmail", `am_[a-f0-9]{64}`}, {"plain", `plainApiKey_uk__MachineUser_01[A-Z0-9]{24}__[a-f0-9]{64}`}, {"missive", `missive_pat-[A-Za-z0-9_-]{60}`}, {"fastmail", `fmu1-[a-f0-9]{8}-[a-f0-9]{32}-0-[a-f0-9]{32}`}, {"kit", `kit_[a-f0-9]{32}`}, {"pushbullet", `o.[A-Za-z0-9]{32}`},
	{"ntfy", `tk_[a-z0-9]{29}`}, {"netatmo", `[a-f0-9]{24}|[a-f0-9]{32}`}, {"the things network", `NNSXS.[A-Z2-7]{39}.[A-Z2-7]{52}`}, {"nextcloud", `[A-Za-z0-9]{5}-[A-Za-z0-9]{5}-[A-Za-z0-9]{5}-[A-Za-z0-9]{5}-[A-Za-z0-9]{5}`},
	{"bitlocker", `[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}-[0-9]{6}`}, {"wifi code", `WIFI:T:WPA;S:office;P:[A-Za-z0-9]{14};;`}, {"ntlm", `aad3b435b51404eeaad3b435b51404ee:[a-f0-9]{32}`}, {"phpass", `$P$B[./A-Za-z0-9]{30}`}, {"md5crypt", `$1$[A-Za-z0-9./]{8}$[A-Za-z0-9./]{22}`},
	{"apr1", `$apr1$[A-Za-z0-9./]{8}$[A-Za-z0-9./]{22}`}, {"ldap ssha", `{SSHA}[A-Za-z0-9+/]{38}==`}, {"cisco type 9", `$9$[./A-Za-z0-9]{14}$[./A-Za-z0-9]{43}`}, {"cisco type 8", `$8$[./A-Za-z0-9]{14}$[./A-Za-z0-9]{43}`}, {"ansible vault", `$ANSIBLE_VAULT;1.1;AES256 [a-f0-9]{80}`},
}
