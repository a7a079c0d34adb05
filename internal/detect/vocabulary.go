package detect

import "strings"

// word is the meaning of one word of the vocabulary.
type word struct {
	kinds kind
	whole bool // it must follow a separator, or a lower-case letter before a capital
	tail  bool // words that distinguish several may follow: password_old, API_KEY_EU
}

// vocabulary returns the words of names that mean a secret, joined and in lower case. Plurals,
// digits after a word, and words before it are accepted in addition.
func vocabulary() map[string]word {
	all := map[string]word{}
	add := func(w word, list string) {
		for _, text := range strings.Fields(list) {
			all[text] = w
		}
	}
	add(word{kinds: password, tail: true}, `password passwd passphrase passcode secret pswd passwort kennwort geheimnis zugangsdaten
		contraseña contrasena contraseñas contrasenas motdepasse senha segredo secreto wachtwoord geheim hasło haslo heslo lösenord losenord
		adgangskode passord salasana jelszó jelszo şifre sifre katasandi kodeord
		пароль парол пароля секрет κωδικός סיסמה كلمةالمرور كلمةالسر पासवर्ड รหัสผ่าน mậtkhẩu matkhau
		lösenordet passordet adgangskoden parolă лозинка құпиясөз گذرواژه رمزعبور
		密码 密碼 口令 私钥 私鑰 秘钥 密钥 密鑰 暗号 暗証番号 パスワード パスフレーズ シークレット 비밀번호 비밀키 암호 시크릿 пароли секреты المفتاحالسري 秘密鍵`)
	add(word{kinds: password, whole: true, tail: true}, `pass pwd pw mdp parola clave psw passw userpass dbpass sshpass pgpassword mysqlpwd psk bindpw newpass oldpass rootpass adminpass pgpass requirepass masterauth proxypass smtppass keypass storepass loginpass
		dbpwd dbpw rootpw rootpwd userpw userpwd adminpw adminpwd ftppwd mailpwd smtppwd passwrd pasword passord srcstorepass deststorepass srckeypass destkeypass keystorepass truststorepass wifipsk presharedkey communitystring identifiants credenciales credenciais inloggegevens`)
	add(word{kinds: password, whole: true}, `pin pinnumber unlockcode zugangscode recoveryphrase totpseed otpseed mfaseed walletseed securityanswer secretanswer otp salt pepper seedphrase mnemonic pincode accesscode securitycode recoverycode recoverycodes backupcode backupcodes cvv cvc credential credentials creds authvalue secretid approleroleid approlesecretid`)
	add(word{kinds: token, tail: true}, `apikey accesskey secretkey privatekey masterkey encryptionkey signingkey saltkey hmackey authkey servicekey
		subscriptionkey licensekey unsealkey rootkey integrationkey writekey adminkey serverkey deploykey functionskey functionkey applicationkey insertkey ingestkey ingestionkey instrumentationkey fernetkey wifikey wepkey aeskey wrappingkey recoverykey activationkey newkey oldkey leakedkey
		vertexkey pineconekey qdrantkey weaviatekey langfusekey langsmithkey heliconekey replicatekey togetherkey fireworkskey perplexitykey deepseekkey xaikey nvidiakey cerebraskey openrouterkey elevenlabskey tavilykey serperkey voyagekey
		supabasekey segmentkey mixpanelkey amplitudekey posthogkey sentrykey splunkkey honeycombkey cloudflarekey linearkey notionkey airtablekey resendkey postmarkkey mailchimpkey shopifykey paypalkey tlskey
		stripekey openaikey anthropickey claudekey geminikey groqkey mistralkey coherekey azurekey gcpkey gcpsakey datadogkey newrelickey pagerdutykey opsgeniekey algoliakey mapskey firebasekey fcmkey apnskey sendgridkey mailgunkey twiliokey huggingfacekey hfkey githubkey gitlabkey virtualkey sessionkey clientkey bearertoken accesstoken refreshtoken authtoken apitoken sessiontoken
		idtoken securitytoken bottoken webhooktoken csrftoken deploytoken jobtoken integrationtoken authenticationtoken
		personalaccesstoken signingsecret tokensecret credentialkey encryptedkey decryptionkey sshkey sharedkey apisecret appkey
		clédapi cledapi schlüssel schluessel sleutel cleapi cléapi clesecrete clésecrète cleprivee cléprivée llavesecreta llaveprivada llaveapi claveapi claveprivada
		chaveapi chavesecreta chaveprivada chiaveapi chiavesegreta chiaveprivata kluczapi kluczprywatny tajnyklucz klíčapi klicapi gizlianahtar apianahtarı
		токены ключи מפתחapi مفتاحapi`)
	add(word{kinds: token, whole: true, tail: true}, `token jeton ключ токен mytoken thetoken newtoken oldtoken jsessionid phpsessid`)
	add(word{kinds: token, tail: true}, `トークン 令牌 토큰`)
	add(word{kinds: token, tail: true}, `액세스토큰 apiキー アクセスキー シークレットキー api키 访问密钥`)
	add(word{kinds: token, whole: true}, `auth authorization proxyauthorization basicauth bearer jwt pat dsn license licence
		sessionid sid connectionstring connstring connstr clientcert serviceaccount gcpserviceaccount serviceaccountjson privatekeyid
		kubeconfig dockerconfigjson credentialsjson sharedaccesssignature netrc htpasswd ocifingerprint ocitenancy litellmlicense xauth chave
		codeverifier clientassertion xhoneycombteam`)
	add(word{kinds: token | jar, whole: true}, `cookie cookies setcookie`)
	add(word{kinds: token}, `authtoken usertoken`)
	add(word{kinds: token | digest, whole: true}, `changedbyapikey hashedtoken`)
	add(word{kinds: token | awsKey, tail: true}, `secretaccesskey awssecretkey awssecret secretkey`)
	add(word{kinds: token | azureKey, tail: true}, `accountkey sharedaccesskey storagekey sharedkey`)
	add(word{kinds: signature, whole: true}, `sig xamzsignature xgoogsignature`)
	add(word{kinds: address, whole: true}, `databaseurl dburl redisurl directurl webhookurl mongourl mongodburi amqpurl brokerurl postgresurl databaseuri dburi connectionuri connectionurl mongouri amqpuri redisuri mysqluri postgresuri slackwebhook incomingwebhook hookurl`)
	add(word{kinds: headers, whole: true}, `extraheaders staticheaders otelheaders exporterotlpheaders genericloggerheaders genericssoheaders credentialvalues`)
	add(word{kinds: aKey, whole: true, tail: true}, `key clé cle llave chave chiave klucz klíč kulcs nyckel nøgle avain anahtar مفتاح מפתח`)
	return all
}

// aside returns words after a meaningful word that make the name one about the secret, not of
// it: token_type, password_policy, api_key_id.
func aside() map[string]bool { return wordSet(asideWords) }

const asideWords = `id ids name names alias aliases hint policy length len min max minimum maximum count counts type types kind
	expires expire expiry expiration expired ttl age at on date time times timestamp created updated changed modified rotated rotation
	interval duration period last enabled disabled enable disable required require requires optional valid validation validity verify
	endpoint file files filename dir path paths location arn version versions status state strength field fields label title
	description desc prefix suffix format param params parameter rule rules regex pattern algorithm alg provider manager store limit limits usage used uses cost costs per price budget total totals index number num size sizes
	reset forgot forgotten attempts tries retries strategy method mode scheme source role roles scope scopes issuer audience subject user username
	email owner group team metadata info details detail settings setting config configuration options option history list map
	counter rate window spend spent remaining quota threshold ratio percent url uri generator service form page help text message
	error errors warning reason to name_prefix missing invalid set exists present protected protection tag tags region zone`

// hashing returns words after a meaningful word that make the name one of its hash. The hash of
// a password must stay secret too: it allows guessing.
func hashing() map[string]bool { return wordSet(`hash hashed digest sha sha256 md5 checksum`) }

// counting returns words before "token" that make it a unit of text.
func counting() map[string]bool {
	return wordSet(`per cost costs max min total count prompt completion input output reasoning cached budget limit spend num number avg average
		first last next each every thinking audio image text tokens creation read special eos bos pad unk mask stop end start begin`)
}

// harmless returns words before "key" that make it a key without access.
func harmless() map[string]bool {
	return wordSet(`public primary foreign sort partition cache idempotency object row s3 routing group dedup dedupe issue translation
		i18n unique composite natural surrogate hot short arrow lookup storage registry`)
}

func wordSet(list string) map[string]bool {
	set := map[string]bool{}
	for _, w := range strings.Fields(list) {
		set[w] = true
	}
	return set
}
