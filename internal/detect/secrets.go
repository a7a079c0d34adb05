package detect

// secrets returns the group of that name.
func secrets() []detector {
	all := append(append(modelProviders(), clouds()...), services()...)
	all = append(all, anywhere()...)
	for i := range all {
		all[i].Group = "secrets"
	}
	return all
}

func modelProviders() []detector {
	return []detector{
		{
			Info: Info{Name: "sk-key",
				Finds:       "Keys that begin with `sk-` and go on with 16 or more letters, digits, `_` or `-`, among them letters and digits, or small letters and capitals: LiteLLM's virtual keys, OpenAI's (`sk-proj-`, `sk-svcacct-`), Anthropic's (`sk-ant-`), OpenRouter's, DeepSeek's, Langfuse's.",
				Example:     "sk-proj-mJ3kq9ZsTb81LwXy0dVf",
				DoesNotFind: "Shorter keys, and words, that a person made up (`sk-1234`, `sk-my-team-key`) and what LiteLLM shows of a key (`sk-...4b0e`).",
			},
			anchors: forms(form{leads: []string{"sk-"}, at: 2, rest: base64URL, least: 16, cased: true}),
		},
		{
			Info: Info{Name: "model-provider-key",
				Finds:       "Keys of Groq (`gsk_`), xAI (`xai-`), Perplexity (`pplx-`), NVIDIA (`nvapi-`), Replicate (`r8_`) and Hugging Face (`hf_`), with 30 or more characters.",
				Example:     "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",
				DoesNotFind: "Keys without a prefix (Azure OpenAI, Cohere, Mistral, Together): see `named-secret`.",
			},
			anchors: forms(
				form{leads: []string{"gsk_"}, at: 3, rest: alphanumeric, least: 30},
				form{leads: []string{"xai-"}, at: 3, rest: base64URL, least: 30, mixed: true},
				form{leads: []string{"pplx-"}, at: 4, rest: alphanumeric, least: 30},
				form{leads: []string{"nvapi-"}, at: 5, rest: base64URL, least: 30, mixed: true},
				form{leads: []string{"r8_", "hf_"}, at: 2, rest: alphanumeric, least: 30},
			),
		},
	}
}

func clouds() []detector {
	return []detector{
		{
			Info: Info{Name: "aws-access-key-id",
				Finds:       "`AKIA`, `ASIA`, `ABIA` or `ACCA` and exactly 16 capitals and digits.",
				Example:     "AKIAIOSFODNN7EXAMPLE",
				DoesNotFind: "Ids of users, roles and accounts (`AIDA`, `AROA`, digits), which open nothing.",
			},
			anchors: forms(form{leads: []string{"AKIA", "ASIA", "ABIA", "ACCA"}, at: 2, rest: upperDigits, least: 16, exact: true}),
		},
		{
			Info: Info{Name: "aws-secret-access-key",
				Finds:        "40 random characters of base64 beside a name that ends in secret access key, secret key or AWS secret.",
				Example:      "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
				ExampleUnder: "AWS_SECRET_ACCESS_KEY",
				DoesNotFind:  "The same 40 characters beside no such name: any SHA-1 in base64 and many a path look like them.",
			},
			named: []namedRule{{kinds: awsKey, value: awsSecret}},
		},
		{
			Info: Info{Name: "gcp-key",
				Finds:       "Google's API keys (`AIza` and 35 or more), secrets of OAuth clients (`GOCSPX-`) and access tokens (`ya29.`). A service account's private key is found by `private-key`.",
				Example:     "AIzaSyA-1234567890abcdefghijklmnopqrstu",
				DoesNotFind: "A service account's e-mail, its `private_key_id` and its client id.",
			},
			anchors: forms(
				form{leads: []string{"AIza"}, at: 2, rest: base64URL, least: 35},
				form{leads: []string{"GOCSPX-"}, at: 6, rest: base64URL, least: 24},
				form{leads: []string{"ya29."}, at: 4, rest: charsetOf("A-Za-z0-9_.-"), least: 30, mixed: true},
			),
		},
		{
			Info: Info{Name: "azure-client-secret",
				Finds:       "Secrets of Entra applications: three characters, a digit, `Q~` and 31 or more characters.",
				Example:     "abc8Q~defghijklmnopqrstuvwxyz0123456789",
				DoesNotFind: "Those made before 2021, which have no such form: see `named-secret`. Tenant, client and secret ids.",
			},
			anchors: []anchor{azureClientSecret()},
		},
		{
			Info: Info{Name: "azure-key",
				Finds:       "32 or 64 bytes in base64 beside `AccountKey`, `SharedAccessKey` or the like, also in a connection string, and the signature (`sig=`) of a shared access signature.",
				Example:     "AccountKey=bXktZmFrZS1henVyZS1zdG9yYWdlLWtleTAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ekFCCg==;EndpointSuffix=core.windows.net",
				DoesNotFind: "The same beside another name: see `named-secret`.",
			},
			named: []namedRule{{kinds: azureKey, value: azureShared}, {kinds: signature, value: azureSignature}},
		},
	}
}

func services() []detector {
	return []detector{
		{
			Info: Info{Name: "github-token",
				Finds:       "`ghp_`, `gho_`, `ghu_`, `ghs_`, `ghr_` and 36 or more letters and digits; `github_pat_` and 40 or more.",
				Example:     "ghp_0123456789abcdefghijABCDEFGHIJ012345",
				DoesNotFind: "Tokens of before April 2021: 40 hexadecimal digits, like any SHA-1; see `named-secret`.",
			},
			anchors: forms(
				form{leads: []string{"ghp_", "gho_", "ghu_", "ghs_", "ghr_"}, at: 1, rest: charsetOf("A-Za-z0-9_"), least: 36},
				form{leads: []string{"github_pat_"}, at: 6, rest: charsetOf("A-Za-z0-9_"), least: 40},
			),
		},
		{
			Info: Info{Name: "gitlab-token",
				Finds:       "`glpat-`, `gldt-`, `glrt-`, `glptt-` and 20 or more characters.",
				Example:     "glpat-0123456789abcdefABCD",
				DoesNotFind: "Tokens of before GitLab 14.5, and where an administrator chose another prefix.",
			},
			anchors: forms(form{leads: []string{"glpat-", "gldt-", "glrt-", "glptt-"}, at: 1, rest: charsetOf("A-Za-z0-9_.-"), least: 20, mixed: true}),
		},
		{
			Info: Info{Name: "slack-token",
				Finds:       "`xoxa-`, `xoxb-`, `xoxc-`, `xoxd-`, `xoxe-`, `xoxp-`, `xoxr-`, `xoxs-` and `xapp-` with 16 or more characters; addresses of webhooks and workflows at hooks.slack.com.",
				Example:     "xoxb-123456789012-abcdefGHIJKL",
				DoesNotFind: "Ids of channels, teams and applications.",
			},
			anchors: append(forms(
				form{leads: []string{"xoxa-", "xoxb-", "xoxc-", "xoxd-", "xoxe-", "xoxp-", "xoxr-", "xoxs-"}, at: 1, rest: charsetOf("A-Za-z0-9%-"), least: 16, mixed: true},
				form{leads: []string{"xapp-"}, at: 4, rest: charsetOf("A-Za-z0-9-"), least: 16, mixed: true},
			), slackHook()),
		},
		{
			Info: Info{Name: "stripe-key",
				Finds:       "`sk_live_`, `rk_live_` and `whsec_` with 16 or more letters and digits.",
				Example:     "sk_live_0123456789abcdefABCDEF",
				DoesNotFind: "Keys for tests (`sk_test_`) and published ones (`pk_live_`).",
			},
			anchors: forms(
				form{leads: []string{"sk_live_", "rk_live_"}, at: 2, rest: alphanumeric, least: 16},
				form{leads: []string{"whsec_"}, at: 5, rest: base64Std, least: 24},
			),
		},
	}
}

func anywhere() []detector {
	return []detector{
		{
			Info: Info{Name: "jwt",
				Finds:       "JSON Web Tokens, signed or encrypted: a header that begins with `eyJ` and decodes to JSON with `alg`, and what follows it behind dots; also where the end was cut off.",
				Example:     "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhdWRpdCJ9.c2lnbmF0dXJlLWlzLWZha2U",
				DoesNotFind: "Base64 of other JSON, a header alone, and cookies that look alike without naming an algorithm.",
			},
			anchors: []anchor{jwt()},
		},
		{
			Info: Info{Name: "private-key",
				Finds:       "PEM private keys of every kind (also OpenSSH's, PGP's, and a service account's `private_key`), from `-----BEGIN` to `-----END`, with line ends, spaces or `\\n` between the lines; where the end was cut off, to where nothing looks like a key.",
				Example:     "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n-----END PRIVATE KEY-----",
				DoesNotFind: "Public keys and certificates; a BEGIN without 16 characters of a key behind it; a key without its BEGIN; PuTTY's and JSON Web Keys.",
			},
			anchors: []anchor{privateKey()},
		},
		{
			Info: Info{Name: "basic-auth-url",
				Finds:       "The password in `scheme://user:password@host`; the user where there is no password and it is random.",
				Example:     "postgres://relay:hunter2@db.example.com/audit",
				DoesNotFind: "A password that is `***` or a name in brackets; a password with an unescaped `/`, `?` or `#`; user and password longer than 1,000 bytes; `user:password@host` without a scheme.",
			},
			anchors: []anchor{basicAuthURL()},
		},
		{
			Info: Info{Name: "authorization",
				Finds:       "What follows `Bearer ` in any case, if it is 16 or more random characters; what follows `Basic `, if it decodes to printable characters with a colon.",
				Example:     "Bearer mF9B5f41JqMn7rTz",
				DoesNotFind: "Other schemes (Digest, AWS4-HMAC-SHA256), and a token without its scheme: see `named-secret`.",
			},
			anchors: []anchor{authorization()},
		},
		{
			Info: Info{Name: "named-secret",
				Finds: "A value beside a telling name, be it the name that the value stands under or one in the text (`name=value`, `name: value`, in quotes or not). " +
					"Names that end in token, API key, access key, secret key, private key, master key, encryption key, credential, authorization, cookie, jwt and the like, however they are spelled, call for 16 or more random characters. " +
					"Names that end in password, passwd, pwd, pass, passphrase, passcode or secret call for 8 or more that are no plain word: letters with digits, three kinds of characters, or 20 of two kinds.",
				Example:      "c0rrect-h0rse",
				ExampleUnder: "dbPassword",
				DoesNotFind: "Plain words, short values, values with spaces; UUIDs; what says where the secret is (`os.environ/NAME`, `${NAME}`, `file:/`, `arn:`, a name in brackets); asterisks and pseudonyms; names in other languages than English. " +
					"64 lower-case hexadecimal digits beside a name that ends in token or API key: LiteLLM keeps a key's SHA-256 there. Beside any other telling name they are found. The rules by name of a `redact` filter ask for none of this.",
			},
			named: []namedRule{{kinds: password | token, value: strong}},
		},
	}
}
