package detect

// kind is what a name tells of the value beside it; a set of kinds where they are
// or-ed.
type kind uint8

const (
	password  kind = 1 << iota // a person may have made it up
	token                      // a machine made it
	digest                     // LiteLLM keeps a key's SHA-256 under such a name
	awsKey                     // an AWS secret access key
	azureKey                   // the key of a storage account or of a bus
	signature                  // of a shared access signature
)

// longestWord is the most letters of a name that are looked at.
const longestWord = 16

// nameBytes is the most of a name that is looked at, separators among them.
const nameBytes = 32

// tellingName returns what name tells: by its last words, in camelCase, snake_case,
// kebab-case or with spaces, in the plural, or with a number behind it. It looks at
// the last nameBytes alone.
func tellingName(name []byte) kind {
	name = name[max(0, len(name)-nameBytes):]
	end := len(name)
	for end > 0 && classOf[name[end-1]]&(lower|upper) == 0 {
		end--
	}
	if end < 2 {
		return 0
	}
	plural := false
	if end > 2 && name[end-1]|0x20 == 's' && name[end-2]|0x20 != 's' {
		end--
		plural = true
	}
	switch uint16(name[end-2]|0x20)<<8 | uint16(name[end-1]|0x20) { // with which the words below end: most names do not
	case 'r'<<8 | 'd', 'w'<<8 | 'd', 's'<<8 | 'e', 'd'<<8 | 'e', 'i'<<8 | 'e', 'e'<<8 | 't', 'e'<<8 | 'n', 'o'<<8 | 'n',
		'a'<<8 | 'l', 'e'<<8 | 'r', 'e'<<8 | 'y', 's'<<8 | 's', 'p'<<8 | 'w', 'w'<<8 | 't', 'i'<<8 | 'g':
	default:
		return 0
	}
	var room [longestWord]byte
	first := len(room)
	for i := end; i > 0 && first > 0; i-- {
		switch c := name[i-1]; classOf[c] {
		case lower, upper:
			first--
			room[first] = c | 0x20
		case digit:
			i = 1
		default:
			if c != '_' && c != '-' && c != '.' && c != ' ' {
				i = 1
			}
		}
	}
	k := lastWord(room[first:])
	if k == 0 && !plural {
		k = shortWord(name[:end])
	}
	return k
}

// lastWord knows the words by which a name may end, whatever is before them.
func lastWord(letters []byte) kind {
	ends := func(word string) bool {
		return len(letters) >= len(word) && string(letters[len(letters)-len(word):]) == word
	}
	if len(letters) < 5 {
		return 0
	}
	switch letters[len(letters)-1] {
	case 'd':
		if ends("password") || ends("passwd") {
			return password
		}
	case 'e':
		if ends("passphrase") || ends("passcode") {
			return password
		}
		if ends("cookie") {
			return token
		}
	case 't':
		if ends("awssecret") {
			return password | awsKey
		}
		if ends("secret") {
			return password
		}
	case 'n':
		if ends("token") {
			return token | digest
		}
		if ends("authorization") {
			return token
		}
	case 'l':
		if ends("credential") {
			return token
		}
	case 'r':
		if ends("bearer") {
			return token
		}
	case 'y':
		return keyWord(ends)
	}
	return 0
}

// keyWord knows which keys are secrets; a key as such may be a name in a map, a
// place in a bucket, or what a table is sorted by.
func keyWord(ends func(string) bool) kind {
	switch {
	case !ends("key"):
	case ends("apikey"):
		return token | digest
	case ends("secretaccesskey"), ends("awssecretkey"), ends("secretkey"):
		return token | awsKey
	case ends("accountkey"), ends("sharedaccesskey"), ends("storagekey"), ends("sharedkey"):
		return token | azureKey
	case ends("accesskey"), ends("privatekey"), ends("masterkey"), ends("encryptionkey"), ends("signingkey"),
		ends("saltkey"), ends("hmackey"), ends("authkey"), ends("servicekey"), ends("subscriptionkey"), ends("licensekey"), ends("virtualkey"):
		return token
	}
	return 0
}

// shortWord knows words that others end with too (bypass), and which therefore
// have to stand alone behind a separator.
func shortWord(name []byte) kind {
	start := len(name)
	for start > 0 && classOf[name[start-1]]&alnumClasses != 0 {
		start--
	}
	is := func(word string) bool {
		if len(name)-start != len(word) {
			return false
		}
		for i := range len(word) {
			if name[start+i]|0x20 != word[i] {
				return false
			}
		}
		return true
	}
	switch {
	case is("pass"), is("pwd"), is("pw"):
		return password
	case is("jwt"):
		return token
	case is("sig"):
		return signature
	}
	return 0
}
