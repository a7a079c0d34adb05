package detect

// written returns the secret detectors that are code, because a form alone does not identify
// the secret.
func written() []detector {
	all := []detector{
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
				Finds:       "PEM private keys of every kind (also OpenSSH's, SSH2's, PGP's, OpenVPN's static ones, and a service account's `private_key`), from BEGIN to END, whatever lies between and however the marks are spelled: `\\n`, `<br>`, `# `, `| `, list items; where the end was cut off, to where nothing looks like a key. PuTTY's keys.",
				Example:     "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\\n-----END PRIVATE KEY-----",
				DoesNotFind: "Public keys and certificates; a BEGIN without 16 characters of a key behind it; a key without its BEGIN.",
			},
			anchors: privateKey(),
		},
		{
			Info: Info{Name: "basic-auth-url",
				Finds:       "The password in `scheme://user:password@host`, in `user:password@tcp(host)` and in `user:password@host:port`; the user where there is no password and it is random.",
				Example:     "postgres://relay:hunter2@db.example.com/audit",
				DoesNotFind: "A password that is `***` or a name in brackets; a password with an unescaped `/`, `?` or `#`; user and password longer than 1,000 bytes.",
			},
			anchors: []anchor{basicAuthURL(), bareUserinfo()},
		},
		{
			Info: Info{Name: "authorization",
				Finds:       "What follows `Bearer ` in any case, if it is 16 or more random characters; what follows `Basic `, if it decodes to printable characters with a colon.",
				Example:     "Bearer mF9B5f41JqMn7rTz",
				DoesNotFind: "A token without its scheme: see `named-secret`.",
			},
			anchors: authorization(),
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
			Info: Info{Name: "azure-key",
				Finds:       "32 or 64 bytes in base64 beside `AccountKey`, `SharedAccessKey` or the like, also in a connection string, and the signature of a signed URL (`sig=`, `X-Amz-Signature=`).",
				Example:     "AccountKey=bXktZmFrZS1henVyZS1zdG9yYWdlLWtleTAxMjM0NTY3ODlhYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ekFCCg==;EndpointSuffix=core.windows.net",
				DoesNotFind: "The same beside another name: see `named-secret`.",
			},
			named: []namedRule{{kinds: azureKey, value: azureShared}, {kinds: signature, value: signed}},
		},
		{
			Info: Info{Name: "named-secret",
				Finds: "A value beside a telling name: the name that the value stands under, or one in the text: `name=value`, `name: value`, `--name value`, `<name>value</name>`, in quotes or not, with any number of spaces. " +
					"In sentences also the new value of a secret that changed (`token has been rotated, new value X`), behind a remark or marks of Markdown and HTML (`password (new): X`, `**Password**: X`), in `INSERT INTO t (..., password) VALUES`, and as the argument of calls and commands that take a password. " +
					"Names tell in English and the larger languages, however they are spelled, in the plural, with digits, and with words behind them that say which (`password_old`, `API_KEY_EU`). " +
					"Names of tokens and keys call for 16 or more random characters; in an assignment for 8, three of them digits, without punctuation; behind the name of an environment variable (`GITHUB_TOKEN=`) for what names of passwords call for; in a URL's query for 6 with a letter and a digit. Names of passwords and secrets call for 6 or more that are no plain word: letters with digits, three kinds of characters, or 20 of two kinds; in an assignment (`DB_PASSWORD=`, `Pwd=`, `--password`) 6 digits, or any word that says nothing else.",
				Example:      "c0rrect-h0rse",
				ExampleUnder: "dbPassword",
				DoesNotFind: "Plain words and short values under a name, values with spaces; UUIDs; what says where the secret is (`os.environ/NAME`, `${NAME}`, `file:/`, `arn:`, a name in brackets); asterisks and pseudonyms; " +
					"what only tells of a secret (`token_type`, `password_policy`). The rules by name of a `redact` filter ask for none of this.",
			},
			named: []namedRule{{kinds: password | token | aKey, value: strong}},
		},
	}
	all = append(all, unknown()...)
	for i := range all {
		all[i].Groups = []string{"secrets"}
		for j := range all[i].anchors {
			all[i].anchors[j].detector = all[i].Name
		}
	}
	return all
}

// unknown returns the detectors of keys whose form only shows that they are random.
func unknown() []detector {
	return []detector{{
		Info: Info{Name: "prefixed-token",
			Finds: "Tokens of services that no rule knows: one to four words in one case with `_` or `-` between them, and then 32 or more characters that were drawn, letters of both cases and digits among them; " +
				"in one case only behind `_`; behind two small letters and `_` only where nothing but letters and digits follows;  40 hexadecimal digits behind `_`, where no word says what else has a hash (`block_`, `container_`); 20 or more, or 32 hexadecimal digits, where one of the words says secret (`sk`, `token`, `pat`, `live`).",
			Example:     "acme_live_q7Zk2mXv9TbL4wRy8nDs6HcPx3Jf5Vg1",
			DoesNotFind: "Identifiers with the usual words (`resp_`, `msg_`, `call_`, `file-`, `sha256-`), UUIDs and up to 39 hexadecimal digits behind other words, shorter tokens, and tokens without such a beginning.",
		},
		anchors: []anchor{prefixed()},
	}, {
		Info: Info{Name: "unmarked-key",
			Finds: "Keys without a beginning of their own, where a row of characters has exactly their length and alphabet: Bitcoin's private keys (WIF), Stellar's seeds, tokens of ngrok, Jenkins, TrueNAS, Webex, Mailgun, X, and Nextcloud's passwords of apps; " +
				"and of two parts, those of Ghost, fal, LiveKit, Ably, Zhipu, Ollama, Baseten, Close, Gcore and Laravel Sanctum.",
			Example:     "KwDiBf89QgGbjEhKnhXJuH7LrciVrZi3qYjgd9M7rFU73sVHnoWn",
			DoesNotFind: "The same with anything right before or behind it that could be part of it.",
		},
		unmarked: true,
	}}
}
