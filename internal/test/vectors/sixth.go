package vectors

// SixthPositions are events in which a token with its own form is at %s, in places that are in
// no other list. No name in them means a secret.
var SixthPositions = []string{
	`{"updated_values":{"a":[["x","%s"],["y","z"]]}}`,
	`{"updated_values":{"a":"x=1&blob=%s&z=2"}}`,
	`{"updated_values":{"a":"<item id=\"7\">%s</item>"}}`,
	`{"updated_values":{"a":"<item value='%s'/>"}}`,
	`{"updated_values":{"a":"<![CDATA[%s]]>"}}`,
	`{"updated_values":{"a":"x: |\n  %s\ny: 2\n"}}`,
	`{"updated_values":{"a":"X=1\nY=%s\nZ=3\n"}}`,
	`{"updated_values":{"a":"id,blob,at\n1,%s,2026\n"}}`,
	`{"updated_values":{"a":"id\tblob\n1\t%s\n"}}`,
	`{"updated_values":{"a":"{\"b\":\"{\\\"c\\\":[\\\"%s\\\"]}\"}"}}`,
	`{"updated_values":{"a":"run --blob=%s --verbose"}}`,
	`{"updated_values":{"a":"proto://host:1/db?blob=%s"}}`,
	`{"updated_values":{"a":"https://h.example.com/hooks/%s/run"}}`,
	`{"updated_values":{"a":"see ` + "`%s`" + ` (revoked)"}}`,
	`{"updated_values":{"a":"[link](https://h.example.com/?t=%s)"}}`,
	`{"updated_values":{"a":"old → %s"}}`,
	`{"updated_values":{"a":"“%s”"}}`,
	`{"updated_values":{"a":"値は%sです"}}`,
	`{"updated_values":{"columns":["id","blob"],"rows":[[1,"%s"]]}}`,
	`{"updated_values":{"%s":{"seen":true}}}`,
}

// SixthContexts are events like Contexts: a sixth list, written independently of the rules. The
// values have no form; their places identify them. On the first run, without changing a rule
// for this list, 3 of 342 were missed.
var SixthContexts = []string{
	// names in other languages
	`{"updated_values":{"contraseña":"%s"}}`, `{"updated_values":{"clave_secreta":"%s"}}`, `{"updated_values":{"mot_de_passe":"%s"}}`,
	`{"updated_values":{"motDePasse":"%s"}}`, `{"updated_values":{"cle_api":"%s"}}`, `{"updated_values":{"Kennwort":"%s"}}`,
	`{"updated_values":{"zugangscode":"%s"}}`, `{"updated_values":{"senha":"%s"}}`, `{"updated_values":{"chave_api":"%s"}}`,
	`{"updated_values":{"parola_d_ordine":"%s"}}`, `{"updated_values":{"chiave_segreta":"%s"}}`, `{"updated_values":{"wachtwoord":"%s"}}`,
	`{"updated_values":{"lösenord":"%s"}}`, `{"updated_values":{"salasana":"%s"}}`, `{"updated_values":{"adgangskode":"%s"}}`,
	`{"updated_values":{"hasło":"%s"}}`, `{"updated_values":{"klucz_api":"%s"}}`, `{"updated_values":{"heslo":"%s"}}`, `{"updated_values":{"jelszó":"%s"}}`,
	`{"updated_values":{"пароль":"%s"}}`, `{"updated_values":{"секретный_ключ":"%s"}}`, `{"updated_values":{"şifre":"%s"}}`, `{"updated_values":{"mật_khẩu":"%s"}}`,
	`{"updated_values":{"密码":"%s"}}`, `{"updated_values":{"密碼":"%s"}}`, `{"updated_values":{"密钥":"%s"}}`, `{"updated_values":{"パスワード":"%s"}}`, `{"updated_values":{"秘密鍵":"%s"}}`,
	`{"updated_values":{"비밀번호":"%s"}}`, `{"updated_values":{"पासवर्ड":"%s"}}`, `{"updated_values":{"كلمة_المرور":"%s"}}`, `{"updated_values":{"סיסמה":"%s"}}`,
	`{"updated_values":{"รหัสผ่าน":"%s"}}`, `{"updated_values":{"kata_sandi":"%s"}}`, `{"updated_values":{"κωδικός":"%s"}}`, `{"updated_values":{"parolă":"%s"}}`, `{"updated_values":{"пароль_бд":"%s"}}`,
	// the same in texts
	`{"updated_values":{"a":"Das Passwort lautet: %s"}}`, `{"updated_values":{"a":"Le mot de passe est %s."}}`, `{"updated_values":{"a":"la contraseña es %s"}}`,
	`{"updated_values":{"a":"пароль: %s"}}`, `{"updated_values":{"a":"密码：%s"}}`, `{"updated_values":{"a":"パスワード: %s"}}`, `{"updated_values":{"a":"hasło=%s"}}`,
	`{"updated_values":{"a":"wachtwoord is %s"}}`, `{"updated_values":{"a":"senha: %s"}}`, `{"updated_values":{"a":"비밀번호: %s"}}`,
	// pairs
	`{"updated_values":{"settings":[{"Key":"DB_PASSWORD","Value":"%s"}]}}`, `{"updated_values":{"env":[{"k":"API_TOKEN","v":"%s"}]}}`,
	`{"updated_values":{"options":{"0":["password","%s"]}}}`, `{"updated_values":{"tags":[{"TagKey":"secret","TagValue":"%s"}]}}`,
	`{"updated_values":{"property":{"@name":"jdbc.password","#text":"%s"}}}`, `{"updated_values":{"params":[["user","bob"],["pwd","%s"]]}}`,
	`{"updated_values":{"attributes":[{"key":"db.password","value":{"stringValue":"%s"}}]}}`,
	`{"updated_values":{"patch":[{"op":"replace","path":"/spec/adminPassword","value":"%s"}]}}`,
	`{"updated_values":{"diff":{"field":"client_secret","old":"x","new":"%s"}}}`, `{"updated_values":{"changes":{"password":["old-one-99","%s"]}}}`,
	// command lines
	`{"updated_values":{"cmd":["mysqladmin","-u","root","-p%s","ping"]}}`, `{"updated_values":{"cmd":"redis-cli -a %s ping"}}`,
	`{"updated_values":{"cmd":"PGPASSWORD=%s psql -h db"}}`, `{"updated_values":{"cmd":"docker login -u bob -p %s ghcr.io"}}`,
	`{"updated_values":{"cmd":"helm upgrade x --set auth.password=%s,replicas=2"}}`, `{"updated_values":{"cmd":["--api-token","%s"]}}`,
	`{"updated_values":{"cmd":"kubectl create secret generic x --from-literal=token=%s"}}`, `{"updated_values":{"cmd":"curl -u bob:%s https://h.example.com"}}`,
	`{"updated_values":{"cmd":"openssl enc -aes-256-cbc -pass pass:%s -in a"}}`, `{"updated_values":{"cmd":"sshpass -p %s ssh h"}}`,
	`{"updated_values":{"cmd":"export API_KEY='%s'; run"}}`, `{"updated_values":{"cmd":"setx APP_SECRET %s"}}`, `{"updated_values":{"cmd":"$env:APP_PASSWORD = \"%s\""}}`,
	`{"updated_values":{"cmd":"vault kv put secret/db password=%s"}}`, `{"updated_values":{"cmd":"az login --service-principal -u app -p %s --tenant t"}}`,
	// DSNs
	`{"updated_values":{"dsn":"host=db user=bob password=%s dbname=x"}}`, `{"updated_values":{"dsn":"Server=db;User Id=bob;Password=%s;"}}`,
	`{"updated_values":{"dsn":"amqp://bob:%s@mq:5672/v"}}`, `{"updated_values":{"dsn":"bob:%s@tcp(db:3306)/x?parseTime=true"}}`,
	`{"updated_values":{"dsn":"Endpoint=https://x.example.com;AccessKey=%s"}}`, `{"updated_values":{"dsn":"mongodb+srv://bob:%s@c0.example.net/?w=1"}}`,
	`{"updated_values":{"dsn":"redis://:%s@cache:6379/0"}}`, `{"updated_values":{"dsn":"jdbc:sqlserver://h;user=sa;password={%s};"}}`, `{"updated_values":{"dsn":"smtp://bob:%s@mail:587"}}`,
	// files
	`{"updated_values":{"file":"[client]\nuser = bob\npassword = %s\n"}}`, `{"updated_values":{"file":"machine h login bob password %s"}}`,
	`{"updated_values":{"file":"db:\n  user: bob\n  password: %s\n"}}`, `{"updated_values":{"file":"db:\n  password: >-\n    %s\n"}}`,
	`{"updated_values":{"file":"<config><password>%s</password></config>"}}`, `{"updated_values":{"file":"<add key=\"ApiSecret\" value=\"%s\" />"}}`,
	`{"updated_values":{"file":"<property><name>fs.secret.key</name><value>%s</value></property>"}}`, `{"updated_values":{"file":"//registry.npmjs.org/:_authToken=%s"}}`,
	`{"updated_values":{"file":"export SECRET_KEY_BASE=%s\n"}}`, `{"updated_values":{"file":"db:5432:x:bob:%s"}}`, `{"updated_values":{"file":"password = \"%s\" # rotate"}}`,
	`{"updated_values":{"file":"variable \"db_password\" { default = \"%s\" }"}}`, `{"updated_values":{"file":"apiVersion: v1\nkind: Secret\nstringData:\n  token: %s\n"}}`,
	`{"updated_values":{"file":"spring.datasource.password=%s\n"}}`, `{"updated_values":{"file":"define('DB_PASSWORD', '%s');"}}`,
	// headers, forms, nested JSON
	`{"updated_values":{"h":"X-Api-Key: %s\r\nAccept: */*"}}`, `{"updated_values":{"h":["Authorization: Token %s"]}}`, `{"updated_values":{"h":{"Cookie":"sid=%s; theme=dark"}}}`,
	`{"updated_values":{"h":{"proxy-authorization":"Basic %s"}}}`, `{"updated_values":{"f":"user=bob&password=%s&ok=1"}}`,
	`{"updated_values":{"f":"grant_type=refresh_token&refresh_token=%s"}}`, `{"updated_values":{"f":"{\"a\":\"{\\\"client_secret\\\":\\\"%s\\\"}\"}"}}`,
	`{"updated_values":{"f":"--b\r\nContent-Disposition: form-data; name=\"passwd\"\r\n\r\n%s\r\n--b--"}}`, `{"updated_values":{"f":"%%7B%%22password%%22%%3A%%22%s%%22%%7D"}}`,
	// tables
	`{"updated_values":{"t":{"columns":["user","passwort"],"data":[["bob","%s"]]}}}`, `{"updated_values":{"t":"user,api_key\nbob,%s\n"}}`,
	`{"updated_values":{"t":"| user | token |\n|---|---|\n| bob | %s |"}}`, `{"updated_values":{"t":{"token":{"values":["%s"]}}}}`,
	// sentences
	`{"updated_values":{"a":"reset bob's password to %s today"}}`, `{"updated_values":{"a":"password changed from %s to something else"}}`,
	`{"updated_values":{"a":"login with bob / %s (pw)"}}`, `{"updated_values":{"a":"the api key %s was leaked"}}`, `{"updated_values":{"a":"use passphrase \"%s\" for the vault"}}`,
}
