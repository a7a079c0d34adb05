package redact_test

import (
	"strings"
	"testing"
)

// contexts are events in which only what stands around a value tells that it is a
// secret: %s is the value, in JSON's quotes where %q.
var contexts = []string{
	// names as LiteLLM and people write them
	`{"updated_values":{"LITELLM_MASTER_KEY":%q}}`, `{"updated_values":{"LITELLM_SALT_KEY":%q}}`, `{"updated_values":{"AWS_BEARER_TOKEN_BEDROCK":%q}}`,
	`{"updated_values":{"langfuse_secret":%q}}`, `{"updated_values":{"arize_space_key":%q}}`, `{"updated_values":{"azure_ad_token":%q}}`, `{"updated_values":{"vertex_credentials":%q}}`,
	`{"updated_values":{"oci_key":%q}}`, `{"updated_values":{"oci_fingerprint":%q}}`, `{"updated_values":{"oci_tenancy":%q}}`, `{"updated_values":{"hf_token":%q}}`, `{"updated_values":{"litellm_license":%q}}`,
	`{"updated_values":{"alert_to_webhook_url":%q}}`, `{"updated_values":{"redis_url":%q}}`, `{"updated_values":{"DIRECT_URL":%q}}`, `{"updated_values":{"OTEL_EXPORTER_OTLP_HEADERS":%q}}`,
	`{"updated_values":{"DD_APP_KEY":%q}}`, `{"updated_values":{"SUPABASE_KEY":%q}}`, `{"updated_values":{"CIRCLE_OIDC_TOKEN_V2":%q}}`, `{"updated_values":{"generic_client_secret":%q}}`, `{"updated_values":{"vault_token":%q}}`,
	`{"updated_values":{"approle_role_id":%q}}`, `{"updated_values":{"approle_secret_id":%q}}`, `{"updated_values":{"client_cert":%q}}`, `{"updated_values":{"client_key":%q}}`, `{"updated_values":{"sentinel_password":%q}}`,
	`{"updated_values":{"gcp_service_account":%q}}`, `{"updated_values":{"auth_value":%q}}`, `{"updated_values":{"authentication_token":%q}}`, `{"updated_values":{"clientsecret":%q}}`, `{"updated_values":{"IBM_GUARDRAILS_AUTH_TOKEN":%q}}`,
	`{"updated_values":{"gitlab_access_token":%q}}`, `{"updated_values":{"key":%q}}`, `{"updated_values":{"x_key":%q}}`, `{"updated_values":{"key_for_prod":%q}}`, `{"updated_values":{"Ocp-Apim-Subscription-Key":%q}}`,
	`{"updated_values":{"extra_headers":{"X-Custom":%q}}}`, `{"updated_values":{"static_headers":{"X-Custom":%q}}}`, `{"updated_values":{"database_url":%q}}`, `{"updated_values":{"connection_string":%q}}`, `{"updated_values":{"signing_key":%q}}`,
	`{"updated_values":{"jwt_secret":%q}}`, `{"updated_values":{"xai_key":%q}}`, `{"updated_values":{"passwords":%q}}`, `{"updated_values":{"password1":%q}}`, `{"updated_values":{"password_old":%q}}`, `{"updated_values":{"newPassword":%q}}`,
	`{"updated_values":{"api_keys":[%q]}}`, `{"updated_values":{"tokens":{"access_token":%q}}}`, `{"updated_values":{"Passwort":%q}}`, `{"updated_values":{"contraseña":%q}}`, `{"updated_values":{"mot_de_passe":%q}}`, `{"updated_values":{"senha":%q}}`,
	`{"updated_values":{"密码":%q}}`, `{"updated_values":{"пароль":%q}}`, `{"updated_values":{"パスワード":%q}}`, `{"updated_values":{"hasło":%q}}`, `{"updated_values":{"wachtwoord":%q}}`, `{"updated_values":{"비밀번호":%q}}`, `{"updated_values":{"şifre":%q}}`, `{"updated_values":{"parola":%q}}`,
	`{"updated_values":{"clave_secreta":%q}}`, `{"updated_values":{"API KEY":%q}}`, `{"updated_values":{"secretKey2":%q}}`, `{"updated_values":{"db.password":%q}}`, `{"updated_values":{"pwd":%q}}`, `{"updated_values":{"sshPrivateKey":%q}}`, `{"updated_values":{"webhook_secret":%q}}`,
	`{"updated_values":{"bearer":%q}}`, `{"updated_values":{"refreshToken":%q}}`, `{"updated_values":{"sessionToken":%q}}`, `{"updated_values":{"Set-Cookie":%q}}`, `{"updated_values":{"pin_code":%q}}`, `{"updated_values":{"otp_secret":%q}}`, `{"updated_values":{"mfaSecret":%q}}`, `{"updated_values":{"encryption_passphrase":%q}}`,
	// pairs, headers, patches, arguments
	`{"updated_values":{"env":[{"name":"API_TOKEN","value":%q}]}}`, `{"updated_values":{"env":[{"value":%q,"name":"API_TOKEN"}]}}`, `{"updated_values":[{"key":"DB_PASSWORD","value":%q}]}`, `{"updated_values":{"headers":[["x-api-key",%q]]}}`,
	`{"updated_values":{"headers":[{"name":"Authorization","value":%q}]}}`, `{"updated_values":[{"op":"replace","path":"/litellm_params/api_key","value":%q}]}`, `{"updated_values":{"args":["--api-key",%q]}}`, `{"updated_values":{"args":["--password",%q]}}`,
	`{"updated_values":{"args":["--verbose","--token",%q,"--x"]}}`, `{"updated_values":{"args":["--password=%s"]}}`, `{"updated_values":{"env":["DB_PASSWORD=%s"]}}`, `{"updated_values":{"env":["API_KEY=%s","A=b"]}}`, `{"updated_values":{"header":"Authorization","content":%q}}`,
	`{"updated_values":{"field":"password","old":"x","new":%q}}`, `{"updated_values":{"param_name":"master_key","param_value":%q}}`, `{"updated_values":{"variable":"SECRET","val":%q}}`, `{"updated_values":{"jwk":{"kty":"oct","k":%q}}}`, `{"updated_values":{"jwk":{"kty":"RSA","n":"x","d":%q}}}`,
	`{"updated_values":{"headers":["X-Api-Key: %s"]}}`, `{"updated_values":{"a":["api_key",%q]}}`,
	// texts
	`{"updated_values":{"note":"password: %s"}}`, `{"updated_values":{"note":"password          = %s"}}`, `{"updated_values":{"note":"DB_PASSWORD=%s\nDB_HOST=x"}}`, `{"updated_values":{"note":"export API_TOKEN=%s"}}`, `{"updated_values":{"note":"curl -H 'Authorization: Bearer %s' https://x"}}`,
	`{"updated_values":{"note":"curl -u admin:%s https://x"}}`, `{"updated_values":{"note":"tool --token %s --verbose"}}`, `{"updated_values":{"note":"tool --password=%s"}}`, `{"updated_values":{"note":"tool --api-key=\"%s\""}}`, `{"updated_values":{"note":"Server=db;User=app;Password=%s;Encrypt=true"}}`,
	`{"updated_values":{"note":"host=db user=app password=%s dbname=x"}}`, `{"updated_values":{"note":"postgres://app:%s@db:5432/x"}}`, `{"updated_values":{"note":"app:%s@tcp(db:3306)/x"}}`, `{"updated_values":{"note":"redis://:%s@cache:6379"}}`, `{"updated_values":{"note":"grant_type=password&username=a&password=%s"}}`,
	`{"updated_values":{"note":"https://x/y?api_key=%s&z=1"}}`, `{"updated_values":{"note":"<password>%s</password>"}}`, `{"updated_values":{"note":"<add key=\"DbPassword\" value=\"%s\"/>"}}`, `{"updated_values":{"note":"user: app\npassword: %s\n"}}`, `{"updated_values":{"note":"db:\n  password: \"%s\"\n"}}`,
	`{"updated_values":{"note":"password: |\n  %s\n"}}`, `{"updated_values":{"note":"the password is %s"}}`, `{"updated_values":{"note":"client_secret => '%s'"}}`, `{"updated_values":{"note":"os.environ['API_KEY'] = '%s'"}}`, `{"updated_values":{"note":"x-api-key: %s"}}`, `{"updated_values":{"note":"const apiKey = \"%s\";"}}`,
	`{"updated_values":{"note":"ALTER USER x IDENTIFIED BY '%s'"}}`, `{"updated_values":{"note":"machine h login u password %s"}}`, `{"updated_values":{"note":"Passwort: %s"}}`, `{"updated_values":{"note":"contraseña: %s"}}`, `{"updated_values":{"note":"CREATE USER x WITH PASSWORD '%s'"}}`, `{"updated_values":{"note":"jdbc:mysql://h/d?user=a&password=%s"}}`,
	`{"updated_values":{"note":"{'password': '%s'}"}}`, `{"updated_values":{"note":"Cookie: session=%s; path=/"}}`, `{"updated_values":{"note":"https://user:%s@example.com/path"}}`, `{"updated_values":{"note":"AccountName=x;AccountKey=%s;"}}`, `{"updated_values":{"note":"secret_key: %s, region: eu"}}`, `{"updated_values":{"note":"token %s"}}`,
	// command lines, connection strings, files, headers, changes, sentences
	`{"updated_values":{"cmd":"mysql -u root -p%s db"}}`, `{"updated_values":{"cmd":"mysql --user=root --password %s db"}}`, `{"updated_values":{"cmd":"PGPASSWORD=%s psql -h db"}}`,
	`{"updated_values":{"cmd":"docker login -u u -p %s ghcr.io"}}`, `{"updated_values":{"cmd":"docker run -e API_KEY=%s img"}}`,
	`{"updated_values":{"cmd":"helm install x --set auth.password=%s"}}`, `{"updated_values":{"cmd":"kubectl create secret generic s --from-literal=password=%s"}}`,
	`{"updated_values":{"cmd":"sshpass -p %s ssh host"}}`, `{"updated_values":{"cmd":"redis-cli -a %s ping"}}`,
	`{"updated_values":{"cmd":"az login --service-principal -u id -p %s --tenant t"}}`, `{"updated_values":{"cmd":"curl -H \"X-Api-Key: %s\" https://x"}}`,
	`{"updated_values":{"cmd":"curl --user bob:%s https://x"}}`, `{"updated_values":{"cmd":"curl -b 'session=%s' https://x"}}`, `{"updated_values":{"cmd":"curl -H 'Cookie: sid=%s' https://x"}}`,
	`{"updated_values":{"cmd":"vault login token=%s"}}`, `{"updated_values":{"cmd":"aws configure set aws_secret_access_key %s"}}`,
	`{"updated_values":{"cmd":"git clone https://oauth2:%s@gitlab.com/a/b"}}`, `{"updated_values":{"cmd":"npm config set //registry.npmjs.org/:_authToken %s"}}`,
	`{"updated_values":{"cmd":"openssl enc -pass pass:%s"}}`, `{"updated_values":{"args":["server","--api-key=%s"]}}`, `{"updated_values":{"command":["sh","-c","export TOKEN=%s; run"]}}`,
	`{"updated_values":{"args":["--header","Authorization: Bearer %s"]}}`, `{"updated_values":{"args":["-H","x-api-key: %s"]}}`, `{"updated_values":{"args":["--set","db.password=%s"]}}`,
	`{"updated_values":{"args":["--client-secret","%s"]}}`, `{"updated_values":{"args":["-e","OPENAI_API_KEY=%s"]}}`, `{"updated_values":{"x":"mongodb+srv://app:%s@cluster0.mongodb.net/db"}}`,
	`{"updated_values":{"x":"amqp://guest:%s@mq:5672/"}}`, `{"updated_values":{"x":"jdbc:sqlserver://h;user=sa;password=%s;"}}`,
	`{"updated_values":{"x":"jdbc:oracle:thin:scott/%s@//h:1521/s"}}`, `{"updated_values":{"x":"postgresql+asyncpg://u:%s@h/d"}}`,
	`{"updated_values":{"x":"DefaultEndpointsProtocol=https;AccountName=a;AccountKey=%s;EndpointSuffix=core.windows.net"}}`,
	`{"updated_values":{"x":"Endpoint=sb://a/;SharedAccessKeyName=Root;SharedAccessKey=%s"}}`, `{"updated_values":{"x":"smtp://user:%s@mail:587"}}`,
	`{"updated_values":{"x":"ldap://cn=admin,dc=x:%s@ldap"}}`, `{"updated_values":{"x":"clickhouse://default:%s@h:9000"}}`, `{"updated_values":{"x":"snowflake://u:%s@acc/db"}}`,
	`{"updated_values":{"x":"Data Source=h;User ID=u;Pwd=%s"}}`, `{"updated_values":{"x":"sftp://u:%s@h/p"}}`, `{"updated_values":{"x":"# prod\nDB_HOST=h\nDB_PASS='%s'\n"}}`,
	`{"updated_values":{"x":"SECRET_KEY = \"%s\"\nDEBUG=false"}}`, `{"updated_values":{"x":"auth:\n  token: %s\n  user: a\n"}}`,
	`{"updated_values":{"x":"credentials:\n  - name: a\n    password: %s\n"}}`, `{"updated_values":{"x":"env:\n- name: API_KEY\n  value: %s\n"}}`,
	`{"updated_values":{"x":"env:\n- name: API_KEY\n  value: \"%s\"\n"}}`, `{"updated_values":{"x":"stringData:\n  password: %s\n"}}`,
	`{"updated_values":{"x":"<config><secret>%s</secret></config>"}}`, `{"updated_values":{"x":"<property name=\"password\">%s</property>"}}`,
	`{"updated_values":{"x":"<property name=\"password\" value=\"%s\"/>"}}`, `{"updated_values":{"x":"<server><id>r</id><username>u</username><password>%s</password></server>"}}`,
	`{"updated_values":{"x":"[db]\npassword = %s\n"}}`, `{"updated_values":{"x":"spring.datasource.password=%s"}}`, `{"updated_values":{"x":"api.key: %s"}}`,
	`{"updated_values":{"x":"[auth]\ntoken = \"%s\"\n"}}`, `{"updated_values":{"x":"<wsse:Password Type=\"t\">%s</wsse:Password>"}}`,
	`{"updated_values":{"x":"<add name=\"X\" connectionString=\"Server=s;Password=%s;\"/>"}}`, `{"updated_values":{"x":"//registry.npmjs.org/:_authToken=%s"}}`,
	`{"updated_values":{"x":"machine api.x.com\nlogin u\npassword %s\n"}}`, `{"updated_values":{"body":"client_id=a&client_secret=%s&grant_type=client_credentials"}}`,
	`{"updated_values":{"body":"user=a&pass=%s"}}`, `{"updated_values":{"body":"refresh_token=%s&scope=x"}}`, `{"updated_values":{"body":"assertion=x&client_assertion=%s"}}`,
	`{"updated_values":{"q":"?token=%s"}}`, `{"updated_values":{"q":"/callback?code=1&access_token=%s#x"}}`, `{"updated_values":{"q":"code=%s&code_verifier=%s"}}`,
	`{"updated_values":[{"Name":"DB_PASSWORD","Value":"%s"}]}`, `{"updated_values":[{"ParameterKey":"DbPassword","ParameterValue":"%s"}]}`,
	`{"updated_values":[{"OptionName":"PASSWORD","Value":"%s"}]}`, `{"updated_values":[{"k":"token","v":"%s"}]}`, `{"updated_values":{"items":[{"title":"password","value":"%s"}]}}`,
	`{"updated_values":{"name":"secret","type":"string","value":{"value":"%s"}}}`, `{"updated_values":{"fields":[{"label":"API key","value":"%s"}]}}`,
	`{"updated_values":{"headers":[{"key":"X-Auth-Token","value":"%s"}]}}`, `{"updated_values":{"headers":["Authorization","Bearer %s"]}}`,
	`{"updated_values":{"headers":{"Authorization":["Bearer %s"]}}}`, `{"updated_values":{"headers":{"X-Api-Key":"%s"}}}`, `{"updated_values":{"headers":{"cookie":"a=1; sid=%s"}}}`,
	`{"updated_values":{"headers":{"X-Vault-Token":"%s"}}}`, `{"updated_values":{"headers":{"Private-Token":"%s"}}}`, `{"updated_values":{"headers":{"X-Honeycomb-Team":"%s"}}}`,
	`{"updated_values":{"headers":{"X-Custom":"Bearer %s"}}}`, `{"updated_values":{"headers":{"X-Sentry-Auth":"Sentry sentry_key=%s"}}}`,
	`{"updated_values":{"rawHeaders":["X-Api-Key","%s","Accept","*/*"]}}`, `{"updated_values":{"headers":"X-Api-Key: %s\r\nAccept: */*"}}`,
	`{"updated_values":{"headers":"Authorization: Basic %s"}}`, `{"updated_values":{"headers":"Set-Cookie: sid=%s; HttpOnly"}}`,
	`{"updated_values":[{"op":"add","path":"/spec/password","value":"%s"}]}`, `{"updated_values":[{"op":"test","path":"/data/api~1key","value":"%s"}]}`,
	`{"updated_values":[{"op":"replace","path":"/litellm_params","value":{"api_key":"%s"}}]}`, `{"updated_values":[["password","%s"],["user","a"]]}`,
	`{"updated_values":{"attributes":{"http.request.header.authorization":["Bearer %s"]}}}`, `{"updated_values":{"diff":[{"field":"client_secret","from":"x","to":"%s"}]}}`,
	`{"updated_values":{"changes":{"password":{"old":"a","new":"%s"}}}}`, `{"updated_values":{"change":"password: 'a' -> '%s'"}}`, `{"updated_values":{"api_key":{"value":"%s"}}}`,
	`{"updated_values":{"secrets":{"db":"%s"}}}`, `{"updated_values":{"credentials":{"username":"a","x":"%s"}}}`, `{"updated_values":{"environment":{"MY_SECRET":"%s"}}}`,
	`{"updated_values":{"vars":{"tf_var_db_password":"%s"}}}`, `{"updated_values":{"note":"Bearer %s"}}`, `{"updated_values":{"note":"log in with password '%s'"}}`,
	`{"updated_values":{"note":"his pwd: %s"}}`, `{"updated_values":{"note":"api key %s"}}`, `{"updated_values":{"note":"the new API key: %s."}}`,
	`{"updated_values":{"note":"PIN 1234 and secret=%s"}}`, `{"updated_values":{"note":"password set to %s"}}`, `{"updated_values":{"note":"password changed to \"%s\""}}`,
	`{"updated_values":{"note":"user: bob / pass: %s"}}`, `{"updated_values":{"note":"credentials: bob/%s"}}`, `{"updated_values":{"note":"login bob password %s"}}`,
	`{"updated_values":{"x":"{\"auths\":{\"ghcr.io\":{\"auth\":\"%s\"}}}"}}`, `{"updated_values":{"x":"{\\\"password\\\":\\\"%s\\\"}"}}`, `{"updated_values":{"x":"{password: '%s'}"}}`,
	`{"updated_values":{"x":"{'api_key': '%s', 'n': None}"}}`, `{"updated_values":{"x":"map[password:%s user:a]"}}`, `{"updated_values":{"x":"Config(api_key='%s', n=1)"}}`,
	`{"updated_values":{"x":"{:password \"%s\"}"}}`, `{"updated_values":{"x":"password => %s"}}`, `{"updated_values":{"x":"password:=%s"}}`, `{"updated_values":{"x":"set PASSWORD %s"}}`,
	`{"updated_values":{"x":"setx API_KEY %s"}}`, `{"updated_values":{"x":"$env:API_KEY = \"%s\""}}`, `{"updated_values":{"x":"process.env.API_KEY='%s'"}}`,
	`{"updated_values":{"x":"ENV API_KEY %s"}}`,
}

// Of values that have no form of their own, filter and gate together let out hardly
// any where what stands around them tells.
func TestTellingContexts(t *testing.T) {
	r := open(t, policy(t, `{preset: litellm}`))
	inspector := secretsGate(t)
	total, missed := 0, 0
	for _, context := range contexts {
		for _, secret := range []string{"q7Zk2mXv9TbL4wRy8nDs6HcP", "hunter2-Fall", "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "Tr0ub4dor&3"} {
			total++
			event := strings.ReplaceAll(strings.ReplaceAll(context, "%q", `"%s"`), "%s", secret)
			out, _ := r.apply(t, []byte(event))
			if !strings.Contains(string(out), secret) {
				continue
			}
			inspector.Forget()
			if inspector.Document(out) == nil {
				missed++
				t.Logf("passes: %s", out)
			}
		}
	}
	if t.Logf("%d of %d pass", missed, total); missed*100 > total {
		t.Error("more than one in a hundred")
	}
}
