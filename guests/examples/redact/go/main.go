//go:build wasip1

// Redact masks the acting key, makes object_id a pseudonym, deletes passwords wherever they stand.
package main

import guest "auditrelay/guests/sdk/go"

var (
	apiKey    = guest.Path("changed_by_api_key")
	objectID  = guest.Path("object_id")
	passwords = guest.Path("**.~password")
)

func init() {
	guest.OnEvent(func() guest.Verdict {
		apiKey.MaskAll()
		objectID.HMACAll("pseudonyms")
		passwords.DeleteAll()
		return guest.Keep
	})
}

func main() {}
