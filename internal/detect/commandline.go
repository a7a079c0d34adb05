package detect

import "bytes"

// Values on command lines, by flags.

// flag checks --name value.
func (n *named) flag(window []byte, at int) (Finding, bool) {
	size := nameSet.span(window[at+1:])
	end := at + 1 + size
	start := end
	for start < len(window) && (window[start] == ' ' || window[start] == '"' || window[start] == '\'' || window[start] == ',') {
		start++
	}
	if size == 0 || start == end || start == len(window) || window[start] == '-' {
		return Finding{}, false
	}
	if bytes.HasPrefix(window[start:], []byte(echo)) {
		return n.echoed(window, window[at+1:end], start)
	}
	value := window[start : start+valueSpan(window, start)]
	kinds := n.names.tells(window[at+1 : end])
	if next := start + len(value) + 1; kinds != 0 && next < len(window) && window[next-1] == ' ' && dottedName.all(value) && n.names.tells(value) != 0 {
		if word := wordAt(window, next); mixedWord(word) { // --secret name value
			return Finding{Start: start, End: next + bytes.Index(window[next:], word) + len(word), Detector: n.first(kinds)}, true
		}
	}
	if kinds == 0 && valueName(window[at+1:end]) {
		kinds = n.flagBefore(window[:at-1])
	}
	if kinds == 0 && (string(window[at+1:end]) == "body" || string(window[at+1:end]) == "value") && bytes.Contains(window[:at-1], []byte("secret set ")) {
		kinds = password
	}
	if string(window[at+1:end]) == "secret-id" && bytes.Contains(window[:at-1], []byte("secretsmanager ")) {
		return Finding{}, false // AWS: the secret's name
	}
	detector := n.judge(kinds, value, assigned)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

const echo = "echo "

// echoed checks --password-command 'echo value', whose value ends with the command's quotes,
// and a value of --password that begins in the same way. The word is at window[start].
func (n *named) echoed(window, name []byte, start int) (Finding, bool) {
	from := start + len(echo)
	from += len(window[from:]) - len(bytes.TrimPrefix(window[from:], []byte("-n ")))
	begin, end, _ := argument(window, from)
	if begin == from && quotes[window[start-1]] {
		end = start + valueSpan(window, start)
	}
	kinds := kind(0)
	if command := bytes.LastIndex(name, []byte("-c")); command > 0 {
		kinds = n.names.tells(name[:command])
	}
	whole := kinds == 0 && quotes[window[start-1]] // not a command
	if kinds == 0 {
		kinds = n.names.tells(name)
	}
	if begin >= end {
		return Finding{}, false
	}
	f, ok := n.phrase(kinds, window, begin, end)
	if whole {
		f.Start = start
	}
	return f, ok
}

// extendFlag extends a finding to the end of a value cut by the window. The value of a quoted
// command ends with its quotes.
func extendFlag(text []byte, f Finding) int {
	start := f.Start
	command := bytes.TrimSuffix(text[max(0, start-len("'echo -n ")):start], []byte("-n "))
	if command, ok := bytes.CutSuffix(command, []byte(echo)); ok && len(command) > 0 && quotes[command[len(command)-1]] {
		start -= len(text[:start]) - bytes.LastIndexByte(text[:start], command[len(command)-1]) - 1
	}
	return start + valueSpan(text, start)
}

// flagBefore returns the meaning of the value of --name or --key before another flag.
func (n *named) flagBefore(b []byte) kind {
	for {
		i := bytes.LastIndex(b, []byte("--"))
		if i < 0 {
			return 0
		}
		size := nameSet.span(b[i+2:])
		if value := bytes.Trim(b[i+2+size:], " =\"'"); pairName(b[i+2:i+2+size]) && bytes.IndexByte(value, ' ') < 0 {
			if k := n.names.tells(value[bytes.LastIndexByte(value, '/')+1:]); k != 0 {
				return k
			}
		}
		b = b[:i]
	}
}

// user checks curl's -u name:password.
func (n *named) user(window []byte, at int) (Finding, bool) {
	start := at + 1
	if i := at - 2; window[at-1]|0x20 == 'u' && i > 0 && !white[window[i-1]] {
		return Finding{}, false // the end of a word
	}
	for start < len(window) && quotes[window[start]] {
		start++
	}
	value := window[start : start+valueSpan(window, start)]
	if end := start + len(value); end < len(window) && window[end] == ',' { // lftp
		value = window[start : end+1+valueSpan(window, end+1)]
	}
	colon := bytes.IndexByte(value, ':')
	if colon < 1 {
		if colon = otherUser(lastLine(window[:at]), value); colon < 1 {
			return Finding{}, false
		}
	}
	detector := n.judge(password, value[colon+1:], assigned)
	return Finding{Start: start + colon + 1, End: start + len(value), Detector: detector}, detector != ""
}

// gluedUser checks curl's -uUSER:PASSWORD.
func (n *named) gluedUser(window []byte, at int) (Finding, bool) {
	if !bytes.Contains(lastLine(window[:at]), []byte("curl")) {
		return Finding{}, false
	}
	return n.user(window, at-1)
}

// otherUser returns where the user ends in value, the argument of -u, for programs without a
// colon: Samba's programs take user%password, lftp takes user,password.
func otherUser(line, value []byte) int {
	for _, p := range []struct{ program, sign string }{{"lftp", ","}, {"smbclient", "%"}, {"rpcclient", "%"}, {"smbget", "%"}, {"smbmap", "%"}, {"winexe", "%"}, {"net ", "%"}, {"wmic", "%"}} {
		if bytes.Contains(line, []byte(p.program)) {
			return bytes.Index(value, []byte(p.sign))
		}
	}
	return -1
}

// remote checks /p:password of FreeRDP and rdesktop.
func (n *named) remote(window []byte, at int) (Finding, bool) {
	if line := lastLine(window[:at]); !bytes.Contains(line, []byte("freerdp")) && !bytes.Contains(line, []byte("mstsc")) {
		return Finding{}, false
	}
	start := at + 1
	for start < len(window) && quotes[window[start]] {
		start++
	}
	return n.given(window, start, start+valueSpan(window, start))
}

// commandBytes is how far before a short flag its program is searched.
const commandBytes = 200

// secretFlags are programs with a one-letter flag that a secret follows. The words of the
// command must be present too. attached: the secret follows the flag without a space.
var secretFlags = map[string]struct {
	flags    string
	with     string
	attached bool
}{
	"mysql": {flags: "p", attached: true}, "mysqldump": {flags: "p", attached: true}, "mysqladmin": {flags: "p", attached: true}, "mysqlimport": {flags: "p", attached: true},
	"mariadb": {flags: "p", attached: true}, "mariadb-dump": {flags: "p", attached: true}, "7z": {flags: "p", attached: true}, "7za": {flags: "p", attached: true},
	"sshpass": {flags: "p"}, "mongo": {flags: "p"}, "mongosh": {flags: "p"}, "mongodump": {flags: "p"}, "mongorestore": {flags: "p"}, "cqlsh": {flags: "p"}, "beeline": {flags: "p"},
	"docker": {flags: "p", with: "login"}, "podman": {flags: "p", with: "login"}, "nerdctl": {flags: "p", with: "login"}, "buildah": {flags: "p", with: "login"}, "skopeo": {flags: "p", with: "login"},
	"helm": {flags: "p", with: "login"}, "oras": {flags: "p", with: "login"}, "az": {flags: "p", with: "login"}, "oc": {flags: "p", with: "login"}, "cf": {flags: "p", with: "login"}, "ibmcloud": {flags: "p", with: "login"},
	"redis-cli": {flags: "a"}, "valkey-cli": {flags: "a"}, "redis-benchmark": {flags: "a"}, "sqlcmd": {flags: "P"}, "bcp": {flags: "P"}, "ipmitool": {flags: "P"}, "unzip": {flags: "P"}, "zip": {flags: "P"},
	"ldapsearch": {flags: "w"}, "ldapmodify": {flags: "w"}, "ldapadd": {flags: "w"}, "ldapdelete": {flags: "w"}, "ldappasswd": {flags: "w"}, "curl": {flags: "b"}, "openssl": {flags: "kK"},
	"mosquitto_pub": {flags: "P"}, "mosquitto_sub": {flags: "P"}, "mosquitto_rr": {flags: "P"}, "rabbitmqadmin": {flags: "p"}, "psexec": {flags: "p"}, "psexec64": {flags: "p"}, "rdesktop": {flags: "p"}, "ncftp": {flags: "p"}, "ncftpget": {flags: "p"}, "ncftpput": {flags: "p"}, //nolint:misspell // a program's name
	"snmpwalk": {flags: "AX"}, "snmpget": {flags: "AX"}, "snmpset": {flags: "AX"}, "snmpbulkwalk": {flags: "AX"}, "snmptrap": {flags: "AX"}, "snmptable": {flags: "AX"}, "evil-winrm": {flags: "p"}, "crackmapexec": {flags: "p"}, "nxc": {flags: "p"},
	"ldapcompare": {flags: "w"}, "ldapmodrdn": {flags: "w"}, "ldapwhoami": {flags: "w"}, "isql": {flags: "P"}, "tsql": {flags: "P"}, "mongoexport": {flags: "p"}, "mongoimport": {flags: "p"}, "mongostat": {flags: "p"},
	"influx": {flags: "pt"}, "rancher": {flags: "t"}, "doctl": {flags: "t"}, "snowsql": {flags: "p"}, "neo4j-admin": {flags: "p"}, "cypher-shell": {flags: "p"}, "arangosh": {flags: "p"}, "mysqlsh": {flags: "p", attached: true}, "mysqlcheck": {flags: "p", attached: true}, "mysqlshow": {flags: "p", attached: true}, "mydumper": {flags: "p"}, "myloader": {flags: "p"},
	"http": {flags: "a"}, "https": {flags: "a"}, "xh": {flags: "a"}, "twine": {flags: "p"}, "useradd": {flags: "p"}, "usermod": {flags: "p"}, "ssh-keygen": {flags: "NP"}, "crane": {flags: "p", with: "login"},
	"rar": {flags: "p", attached: true}, "unrar": {flags: "p", attached: true}, "7zz": {flags: "p", attached: true},
}

// option checks the short flags of known programs: mysql -pVALUE, redis-cli -a VALUE, curl -b
// name=VALUE.
func (n *named) option(window []byte, at int) (Finding, bool) {
	line := window[:at-1]
	if i := bytes.LastIndexAny(line, "\n;|&"); i >= 0 {
		line = line[i+1:]
	}
	attached, ok := secretFlag(line, window[at])
	start := at + 1
	if !ok || start == len(window) || attached == (window[start] == ' ') {
		return Finding{}, false
	}
	for start < len(window) && (window[start] == ' ' || quotes[window[start]]) {
		start++
	}
	value := window[start : start+valueSpan(window, start)]
	kinds := password
	if window[at] == 'b' {
		if bytes.IndexByte(value, '=') < 1 {
			return Finding{}, false // a cookie file
		}
		return Finding{Start: start, End: start + len(value), Detector: n.first(token)}, n.first(token) != ""
	}
	detector := n.judge(kinds, value, assigned)
	return Finding{Start: start, End: start + len(value), Detector: detector}, detector != ""
}

// secretFlag reports whether a line contains a program whose flag takes a secret, and whether
// the secret follows the flag without a space.
func secretFlag(line []byte, flag byte) (attached, ok bool) {
	for rest := line; len(rest) > 0; {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte(" "))
		word = bytes.Trim(word[bytes.LastIndexByte(word, '/')+1:], "\"'`$(")
		p, known := secretFlags[string(word)]
		if known && bytes.IndexByte([]byte(p.flags), flag) >= 0 && bytes.Contains(rest, []byte(p.with)) {
			return p.attached, true
		}
	}
	return false, false
}

// scott checks user/password, the notation of Oracle's programs.
func (n *named) scott(window []byte, at int) (Finding, bool) {
	user := nameSet.span(window[at+1:])
	start := at + 1 + user + 1
	if user == 0 || start >= len(window) || window[start-1] != '/' {
		return Finding{}, false
	}
	size := bytes.IndexAny(window[start:], "@ \n\"'")
	if size < 0 {
		size = len(window) - start
	}
	detector := n.judge(password, window[start:start+size], assigned)
	return Finding{Start: start, End: start + size, Detector: detector}, detector != ""
}

// TakesSecret reports whether a command begins with a program that takes a secret as an
// argument.
func TakesSecret(line []byte) bool {
	for rest := line; len(rest) > 0; {
		var word []byte
		word, rest, _ = bytes.Cut(rest, []byte(" "))
		word = bytes.Trim(word[bytes.LastIndexByte(word, '/')+1:], "\"'`$(")
		if _, known := secretFlags[string(word)]; known || takesUser[string(word)] {
			return true
		}
	}
	return false
}

// takesUser are programs that take a secret in an argument not listed in secretFlags.
var takesUser = map[string]bool{"wget": true, "http": true, "https": true, "xh": true, "lftp": true, "smbclient": true, "rpcclient": true, "smbget": true, "smbmap": true, "winexe": true, "wmic": true, "xfreerdp": true, "wfreerdp": true,
	"vault": true, "bao": true, "htpasswd": true, "chpasswd": true, "sqlplus": true, "net": true, "psql": true, "etcdctl": true, "clickhouse-client": true, "kubectl": true, "gh": true, "glab": true, "npm": true, "aws": true, "gcloud": true, "az": true, "cargo": true, "wandb": true, "rabbitmqctl": true, "mc": true, "poetry": true, "cloudflared": true, "wpa_passphrase": true, "impdp": true, "expdp": true, "sqlldr": true}
