package detect_test

import "testing"

// A value followed by its name in brackets is found whole. <> surround the finding. Ways to log
// in, versions and dates are no values.
func TestValuesBeforeTheirName(t *testing.T) {
	s := newSet(t, "secrets")
	for _, text := range []string{
		"login with bob / <Tr0ub4dor-x> (pw)",
		"<Tr0ub4dor-x> (password), keep it",
		"bob: '<Tr0ub4dor-x>' (passwd)",
		"<3f9c0a7be1d24c58a6b0d91e7f3c2a84> (Passwort)",
		"the password (<Tr0ub4dor-x>) is old",
		"alice99@example.com (password), service-account-7 (password), db01.example.com (pw)",
		"Qwen2-72B-Instruct (tokens), Qwen2-72B-Instruct (token limit)",
		"2026-01-02 (password), INC-20231 (password), v1.22.3 (pw), Tr0ub4dor-x (see below), Tr0ub4dor-x (",
		"Tr0ub4dor-x (what nobody needs to change is no password)",
		"creds: bob / <Tr0ub4dor-x>", "credentials = bob / <Tr0ub4dor-x>, and so on", "login: bob / Tr0ub4dor-x", "creds: vault / see below", "token type: opaque / Bearer-2", "creds: bob / ",
		" (pw)", "(pw) Tr0ub4dor-x (",
	} {
		plain, want := marked(text)
		if got := render(plain, s.Append(nil, []byte(plain), s.Name(nil))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestValuesThatPeopleSet: after an assignment sign in a program, short values chosen by people
// are found, and digits; in sentences those of seven characters.
func TestValuesThatPeopleSet(t *testing.T) {
	s := newSet(t, "secrets")
	for _, text := range []string{
		"password=<12345678> and more", "run --password <482913>", "see {\"password\": \"<12345678>\"} here", "db:\n  password: <12345678>\n",
		"password=12345, {\"password\": 12345678}, passwords: 1200, the password is 12 characters",
		"https://x.org/y?token=<abcdef123456>&a=b", "https://x.org/#a=b&access_token=<plnt2x>", "/reset?recoveryToken=<plnt71xrec>", "?license=apache-2.0&token=soon&auth=basic", "api_key=<key00421abc>;", "access_token: '<abc_12345>'",
		"api_key=team-1234, token=v1.22.3333, token: 2026-01-31T12:00:00, api_key=abcdef12, auth=oauth2",
		"A=1 OPENAI_KEY=<hunter2xyz> B=2", "export GITHUB_TOKEN=<changeme>", "services:\n  AUTH_TOKEN: <hunter>\n",
		"DB_PASSWORD=\"$OTHER_DB_PASSWORD_TWO\" **API_KEY**: identical to API_KEY: optional or SO_COOKIE = 0x1015, TOKEN_READ = RIGHTS, AUTH_TOKEN=required API_KEY=$KEY PRIMARY_KEY=user_id MAX_TOKENS=many TOKEN_LIMIT=soft openai_key=hunter2xyz",
		"curl -s -ubob:<hunter2> https://x.org", "rdesktop -u bob -p <hunter2> host", "run -ubob:hunter2",
		"password = \"\"\"\n<hunter2>\n\"\"\"", "db_password = '''\r\n<c0rrect-h0rse>'''", "note = \"\"\"\nhunter2\n\"\"\"",
		"the password is <hunter2> now", "das Kennwort lautet <hunter2> seit gestern", "\u5bc6\u7801\u662f <hunter2>",
		"the password is base64, the secret is sha256",
		"the new virtual key is <sk-1234> now", "master_key: <sk-1234>", "master_key: sk-...88dc, the model sk-1234",
	} {
		plain, want := marked(text)
		if got := render(plain, s.Append(nil, []byte(plain), s.Name(nil))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// TestHashesOfPasswords: the hash of a password is a secret, since it allows guessing. Hashes
// of keys identify a key.
func TestHashesOfPasswords(t *testing.T) {
	s := newSet(t, "secrets")
	const digest = "5f4dcc3b5aa765d61d8327deb882cf99"
	for _, name := range []string{"password_hash", "passwordHash", "pwd_sha256", "hashed_password", "user_password_digest"} {
		if !s.Detects([]byte(digest), s.Name([]byte(name))) {
			t.Errorf("%s is not found", name)
		}
	}
	for _, name := range []string{"token_hash", "api_key_sha256", "key_hash", "content_hash", "password_hash_algorithm", "password_policy"} {
		if s.Detects([]byte("0"+digest[1:20]), s.Name([]byte(name))) {
			t.Errorf("%s is found", name)
		}
	}
}
