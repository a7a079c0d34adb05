package detect

import (
	"encoding/hex"
	"hash/crc32"
	"testing"
)

// forge writes a text in the form of an encrypted value.
func forge(label, hidden string) string {
	bytes := make([]byte, 12, 12+64+4)
	bytes[0], bytes[5], bytes[11] = 1, 0xff, 0x80
	bytes = append(bytes, hidden...)
	for (len(bytes)-12)%16 != 0 || len(bytes) < 12+32 {
		bytes = append(bytes, 0)
	}
	sum := crc32.ChecksumIEEE(bytes)
	bytes = append(bytes, byte(sum>>24), byte(sum>>16), byte(sum>>8), byte(sum))
	return "enc:" + label + ":" + hex.EncodeToString(bytes)
}

// A sender cannot hide a text in a forged pseudonym or encrypted value: neither in place of the
// key's name nor in the digits.
func TestForgedFormsHideNothing(t *testing.T) {
	set, err := Shipped().Set("secrets")
	if err != nil {
		t.Fatal(err)
	}
	const digits = "56c18bd2ac6a5ef8c338f6203cadc0cf"
	spelled := hex.EncodeToString([]byte("hunter2-Fall-26!"))
	for _, value := range []string{
		"hmac:Hunter2-Fall-2026:" + digits, "hmac:team.hunter2:" + digits, "hmac:team.0000001:" + digits, "hmac:a.b.c:" + digits, "hmac:team:" + spelled,
		forge("Hunter2-Fall-2026", ""), forge("team.hunter2", ""), forge("a:hunter2-Fall", ""), forge("team", "the password is hunter2-Fall-2026, keep it"),
		forge("team", "hunter2-Fall-26!"), forge("team", "AKIAQ7ZK2MXVTBL4WRY6"), forge("team", "\x80\x81hunter2\x82\x83"),
	} {
		for _, text := range []string{value, "password=" + value, "password: '" + value + "' was set"} {
			name := Name{}
			if text == value {
				name = set.Name([]byte("password"))
			}
			if len(set.Append(nil, []byte(text), name)) == 0 {
				t.Errorf("%s: hidden", text)
			}
		}
	}
}
