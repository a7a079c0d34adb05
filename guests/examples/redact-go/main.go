//go:build wasip1

// redact-go takes secrets out of LiteLLM's audit events: it masks the acting
// API key, replaces object_id by a pseudonym, and deletes what goes by a
// secret's name wherever it stands, also inside before_value and
// updated_values, whether those are objects or text that holds JSON.
package main

import guest "auditrelay/guests/sdk/go"

var (
	apiKey   = guest.Path("changed_by_api_key")
	objectID = guest.Path("object_id")
	// ~api_key is apiKey, apikey, API-KEY and so on.
	secrets = []guest.PathRef{
		guest.Path("**.~password"), guest.Path("**.~client_secret"), guest.Path("**.~token"),
		guest.Path("**.~api_key"), guest.Path("**.~secret"), guest.Path("**.~access_token"),
		guest.Path("**.~refresh_token"), guest.Path("**.~private_key"), guest.Path("**.~aws_secret_access_key"),
		guest.Path("**.~aws_session_token"), guest.Path("**.~vertex_credentials"), guest.Path("**.~api_keys"),
		guest.Path("**.~db_password"), guest.Path("**.~webhook_secret"), guest.Path("**.~authorization"),
	}
)

func init() {
	guest.OnEvent(func() guest.Verdict {
		apiKey.MaskAll()
		objectID.HMACAll("pseudonyms")
		for _, secret := range secrets {
			secret.DeleteAll()
		}
		return guest.Keep
	})
}

func main() {}
