package http

import (
	"encoding/json"
	"strings"
	"testing"

	"auditrelay/cli/internal/api"
	"auditrelay/config"
	"auditrelay/internal/test/oidctest"
	"auditrelay/runtime"
)

// TestApprovalsByHTTP: a request gets 409 and changes nothing. Another principal who may
// perform the act approves it, with the digest they saw. A person's token and the same person's
// account of an issuer are one principal.
func TestApprovalsByHTTP(t *testing.T) {
	mock := oidctest.New(t)
	cfg := oidcOf(mock,
		config.Token{Name: "Alice@example.com", Token: tokenOf("operate"), Roles: []config.Role{"operate"}},
		config.Token{Name: "bob", Token: tokenOf("admin"), Roles: []config.Role{"admin"}},
		config.Token{Name: "v", Token: tokenOf("view"), Roles: []config.Role{"view"}},
		config.Token{Name: "i", Token: tokenOf("auditor"), Roles: []config.Role{"auditor"}})
	r := newRelayOn(t, Options{Config: cfg}, runtime.Options{Approvals: runtime.Approvals{Detach: 2, DeleteQuarantine: 2}})
	alice := []string{"Authorization", "Bearer " + tokenOf("operate").Reveal()}
	account := []string{"Authorization", "Bearer " + mock.Token(map[string]any{"groups": "operators"})}
	bob := []string{"Authorization", "Bearer " + tokenOf("admin").Reveal()}
	status, answer, _ := r.call("POST", "/v1/callbacks/archive/detach", `{"reason":"TICKET-7"}`, account...)
	if status != 409 || !strings.Contains(answer, `"reason":"approval"`) || !strings.Contains(answer, "auditrelay approvals approve ") {
		t.Fatal(status, answer)
	}
	list := func(head []string) []api.Approval {
		t.Helper()
		status, answer, _ := r.call("GET", "/v1/approvals", "", head...)
		var all []api.Approval
		if err := json.Unmarshal([]byte(answer), &all); err != nil || status != 200 {
			t.Fatal(status, answer, err)
		}
		return all
	}
	a := list(bob)[0]
	if a.By.Name != "alice@example.com" || a.By.Credential != "oidc "+mock.Issuer() || a.By.Reason != "TICKET-7" || a.Act != "detach" || a.Object != "archive" || a.Need != 2 {
		t.Errorf("the request is %+v", a)
	}
	if seen := list([]string{"Authorization", "Bearer " + tokenOf("view").Reveal()})[0]; seen.By.Reason != "" {
		t.Errorf("the role view reads the reason %q", seen.By.Reason)
	}
	if seen := list([]string{"Authorization", "Bearer " + tokenOf("auditor").Reveal()})[0]; seen.By.Reason != "TICKET-7" {
		t.Error("the role auditor does not read the reason")
	}
	approve := "/v1/approvals/" + a.ID + "/approve"
	for name, row := range map[string]struct {
		head   []string
		path   string
		status int
	}{
		"the same account":            {account, approve, 403},
		"her token of the same name":  {alice, approve, 403},
		"the role auditor":            {[]string{"Authorization", "Bearer " + tokenOf("auditor").Reveal()}, approve, 403},
		"another digest":              {append([]string{"If-Match", `"0123"`}, bob...), approve, 412},
		"a request that there is not": {bob, "/v1/approvals/0123/approve", 404},
		"nobody":                      {nil, approve, 401},
	} {
		if status, answer, _ := r.call("POST", row.path, "", row.head...); status != row.status {
			t.Errorf("%s: %d %s", name, status, answer)
		}
	}
	if s, _ := r.rt.Callback("archive"); s.State == runtime.StateDetached {
		t.Fatal("it is detached before the approval")
	}
	status, answer, _ = r.call("POST", approve, `{"reason":"I looked"}`, append([]string{"If-Match", `"` + a.Digest + `"`}, bob...)...)
	if s, _ := r.rt.Callback("archive"); status != 200 || !strings.Contains(answer, `"state":"done"`) || s.State != runtime.StateDetached {
		t.Fatal(status, answer, s.State)
	}
	if status, answer, _ := r.call("POST", approve, "", bob...); status != 409 || !strings.Contains(answer, `"message":"request `+a.ID+`: it is done already"`) {
		t.Errorf("approved twice: %d %s", status, answer)
	}

	for range 3 {
		if err := r.rt.Quarantine(t.Context(), runtime.Quarantined{Reason: "syntax", Data: []byte(`{"id":` + "x")}); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.rt.Quarantine(t.Context(), runtime.Quarantined{Reason: "syntax", Data: []byte(`other`)}); err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := r.call("POST", "/v1/quarantine/delete", `{"all":true,"reason":"only noise"}`, alice...); status != 409 || !strings.Contains(answer, "quarantine delete needs 2 principals") {
		t.Error(status, answer)
	}
	all := list(bob)
	if last := all[len(all)-1]; last.Items != "1-2" {
		t.Errorf("the items are %q", last.Items)
	} else if status, answer, _ := r.call("POST", "/v1/approvals/"+last.ID+"/reject", "", bob...); status != 200 || !strings.Contains(answer, "rejected") {
		t.Error(status, answer)
	}
	if n := r.rt.QuarantineStats().Items; n != 2 {
		t.Errorf("%d items are left", n)
	}
}
