package vectors

// Fresh are token forms that are in no other list. They were written without a look at the
// rules, from the vendors' documentation and from public lists of secret scanners of 2026: a
// third check of what the rules miss.
var Fresh = [][2]string{
	{"docker swarm join", `SWMTKN-1-[a-z0-9]{50}-[a-z0-9]{25}`}, {"docker swarm unlock", `SWMKEY-1-[A-Za-z0-9+/]{43}`}, {"cloudflare tunnel", `eyJhIjoi[A-Za-z0-9+/]{43}IiwidCI6I[A-Za-z0-9+/]{95}`},
	{"akamai client", `akab-[a-z0-9]{16}-[a-z0-9]{16}`}, {"appveyor", `v2.[a-z0-9]{20}`}, {"sentry dsn", `https://[a-f0-9]{32}@o[0-9]{6}.ingest.sentry.io/[0-9]{7}`}, {"sentry integration", `sntryi_[a-f0-9]{64}`},
	{"linear webhook", `lin_wh_[A-Za-z0-9]{40}`}, {"notion old", `secret_[A-Za-z0-9]{43}`}, {"trello", `ATTA[a-f0-9]{64}[A-F0-9]{8}`}, {"courier", `pk_prod_[A-Z0-9]{28}`}, {"onesignal", `os_v2_app_[a-z2-7]{103}`},
	{"ably", `[A-Za-z0-9_-]{6}.[A-Za-z0-9_-]{6}:[A-Za-z0-9_-]{43}`}, {"pubnub secret", `sec-c-[A-Za-z0-9]{48}`}, {"cloudinary", `cloudinary://[0-9]{15}:[A-Za-z0-9_-]{27}@demo`}, {"quicknode", `QN_[a-f0-9]{32}`},
	{"cardano", `ed25519_sk1[qpzry9x8gf2tvdw0s3jn54khce6mua7l]{58}`}, {"lnd macaroon", `0201036c6e6402[a-f0-9]{200}`}, {"age post-quantum", `AGE-SECRET-KEY-PQ-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}`},
	{"age plugin", `AGE-PLUGIN-YUBIKEY-1[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{24}`}, {"minisign", `RWRTY0Iy[A-Za-z0-9+/]{202}==`}, {"aws appsync", `da2-[a-z0-9]{26}`}, {"aws sso refresh", `aorAAAAA[A-Za-z0-9_-]{300}`},
	{"aws ecr password", `eyJwYXlsb2FkIjoi[A-Za-z0-9+/]{400}`}, {"fauna", `fnAE[A-Za-z0-9_-]{36}`}, {"snowflake session", `ver:1-hint:[0-9]{10}-ETMsDgAAA[A-Za-z0-9+/]{150}`}, {"metabase", `mb_[A-Za-z0-9+/]{43}=`},
	{"rfc 8959", `secret-token:[A-Za-z0-9_%-]{30}`}, {"mercury", `secret-token:mercury_production_wma_[A-Za-z0-9]{43}_yrucrem`}, {"you.com", `ydc-sk-[a-f0-9]{16}-[A-Za-z0-9]{32}-[a-f0-9]{8}`}, {"browser use", `bu_[A-Za-z0-9_-]{43}`},
	{"chutes", `cpk_[a-f0-9]{32}.[a-f0-9]{32}.[A-Za-z0-9]{32}`}, {"featherless", `rc_[a-f0-9]{64}`}, {"novelai", `pst-[A-Za-z0-9]{64}`}, {"inference.net", `inference-[a-f0-9]{32}`}, {"zep", `z_1dWlkIjoi[A-Za-z0-9]{60}.[A-Za-z0-9_-]{86}`},
	{"humanloop", `hl_sk_[a-f0-9]{48}`}, {"arize", `ak-UUID-[A-Za-z0-9_-]{32}`}, {"bland", `org_[a-f0-9]{64}`}, {"luma", `luma-UUID-UUID`}, {"runway", `key_[a-f0-9]{128}`}, {"zhipu", `[a-f0-9]{32}.[A-Za-z0-9]{16}`}, {"baseten", `[A-Za-z0-9]{8}.[A-Za-z0-9]{32}`},
	{"open vsx", `ovsxat_UUID`}, {"jsr", `jsrp_[A-Za-z0-9]{40}`}, {"matrix", `syt_[A-Za-z0-9]{8}_[A-Za-z0-9]{20}_[A-Za-z0-9]{6}`}, {"discord mfa", `mfa.[A-Za-z0-9_-]{84}`}, {"riot", `RGAPI-UUID`}, {"proton pass", `pst_[a-f0-9]{64}::[A-Za-z0-9_-]{43}`},
	{"midtrans", `Mid-server-[A-Za-z0-9_-]{24}`}, {"mercado pago", `APP_USR-[0-9]{16}-[0-9]{6}-[a-f0-9]{32}-[0-9]{9}`}, {"asaas", `$aact_prod_[A-Za-z0-9]{150}`}, {"omise", `skey_5[a-z0-9]{19}`}, {"cashfree", `cfsk_ma_prod_[a-f0-9]{32}_[a-f0-9]{8}`},
	{"paseto public", `v2.public.eyJ[A-Za-z0-9_-]{100}`}, {"paseto local", `v4.local.[A-Za-z0-9_-]{100}`}, {"macaroon", `MDAx[A-Za-z0-9_-]{120}`}, {"shopify partner", `prtapi_[a-f0-9]{32}`}, {"builder.io private", `bpk-[a-f0-9]{32}`},
	{"coralogix", `cxtp_[A-Za-z0-9]{30}`}, {"rootly", `rootly_[a-f0-9]{64}`}, {"firehydrant", `fhb-[a-f0-9]{32}`}, {"dingtalk sign", `SEC[a-f0-9]{64}`}, {"dingtalk webhook", `https://oapi.dingtalk.com/robot/send?access_token=[a-f0-9]{64}`},
	{"feishu webhook", `https://open.feishu.cn/open-apis/bot/v2/hook/UUID`}, {"serverchan", `SCT[0-9]{5}T[A-Za-z0-9]{26}`}, {"ifttt", `https://maker.ifttt.com/trigger/x/with/key/[A-Za-z0-9_-]{22}`}, {"alibaba sts", `STS.N[A-Za-z0-9]{25}`}, {"jd cloud", `JDC_[A-Z0-9]{28}`},
	{"percy", `web_[a-f0-9]{64}`}, {"chromatic", `chpt_[a-f0-9]{15}`}, {"lambdatest", `LT_[A-Za-z0-9]{46}`}, {"censys", `censys_[A-Za-z0-9]{8}_[A-Za-z0-9]{32}`}, {"socket", `sktsec_[A-Za-z0-9_-]{40}_api`}, {"endor", `endr+[A-Za-z0-9]{16}`},
	{"stackhawk", `hawk.[A-Za-z0-9]{20}.[A-Za-z0-9]{20}`}, {"phase", `pss_service:v2:[a-f0-9]{64}:[a-f0-9]{64}:[a-f0-9]{64}`}, {"pangea", `pts_[a-z2-7]{32}`}, {"netbird", `nbp_[A-Za-z0-9]{36}`}, {"rapidapi", `[a-f0-9]{10}msh[a-f0-9]{15}p1[a-f0-9]{5}jsn[a-f0-9]{12}`},
	{"cal.com", `cal_live_[a-f0-9]{32}`}, {"close", `api_[A-Za-z0-9]{22}.[A-Za-z0-9]{22}`}, {"ramp", `ramp_sec_[A-Za-z0-9]{48}`}, {"brex", `bxt_[A-Za-z0-9]{36}`}, {"coingecko", `CG-[A-Za-z0-9]{24}`}, {"tatum", `t-[a-f0-9]{24}-[a-f0-9]{24}`}, {"blockfrost", `mainnet[A-Za-z0-9]{32}`},
	{"portainer", `ptr_[A-Za-z0-9+/]{43}=`}, {"proxmox", `PVEAPIToken=root@pam!ci=UUID`}, {"truenas", `1-[A-Za-z0-9]{64}`}, {"jenkins", `11[a-f0-9]{32}`}, {"nats seed", `SUA[A-Z2-7]{55}`}, {"elastic api key", `ApiKey [A-Za-z0-9+/]{58}==`}, {"webex", `[A-Za-z0-9]{64}_[A-Z0-9]{4}_UUID`},
	{"infobip", `App [a-f0-9]{32}-UUID`}, {"spotify", `BQ[A-Za-z0-9_-]{160}`}, {"roblox", `_|WARNING:-DO-NOT-SHARE-THIS.--x|_[A-F0-9]{300}`}, {"gel", `nbwt1_eyJ[A-Za-z0-9_-]{90}`}, {"keeper", `US:[A-Za-z0-9_-]{43}`}, {"livekit", `API[A-Za-z0-9]{12}:[A-Za-z0-9]{43}`},
	{"cashapp-like square", `sq0idb-[A-Za-z0-9_-]{43}`}, {"hf oauth", `hf_oauth_eyJ[A-Za-z0-9_-]{80}`}, {"gitlab trigger", `glptt-[a-f0-9]{40}`}, {"github actions pat v2", `github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}`}, {"teleport", `tbot-[a-f0-9]{32}`}, {"wise", `wise_live_[a-f0-9]{32}`},
}

// Encodable are tokens that are encoded as a whole: see Encodings.
var Encodable = []string{`sk-proj-[A-Za-z0-9_-]{74}T3BlbkFJ[A-Za-z0-9_-]{74}`, `ghp_[0-9a-zA-Z]{36}`, `AKIA[A-Z2-7]{16}`, `xoxb-[0-9]{12}-[0-9]{12}-[A-Za-z0-9]{24}`, `password=[A-Za-z0-9]{12}`, `postgres://relay:[A-Za-z0-9]{12}@db.example.com/audit`, `{"api_key":"[A-Za-z0-9]{32}"}`, `sk-[A-Za-z0-9_-]{22}`}
