package cli

import (
	"fmt"
	"strings"

	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/client"
)

type approvalsCommands struct {
	List    approvalsList    `cmd:"" default:"withargs" help:"List the requests for acts that need several principals (role view; the default)."`
	Approve approvalsApprove `cmd:"" help:"Approve another principal's request; the last approval starts the act (role operate; admin for a key)."`
	Reject  approvalsReject  `cmd:"" help:"Reject a request, or withdraw your own (role operate; admin for a key)."`
}

type approvalsList struct {
	remote
	All  bool `help:"Also list requests that have ended."`
	JSON bool `help:"Print JSON."`
}

func (c *approvalsList) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	all, err := cl.Approvals(a.ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(all)
	}
	rows := [][]string{{"REQUEST", "ACT", "ON", "ITEMS", "BY", "APPROVED BY", "NEEDS", "UNTIL", "STATE", "REASON"}}
	for i := range all {
		r := &all[i]
		if r.State != "pending" && r.State != "approved" && !c.All {
			continue
		}
		var names []string
		for _, who := range r.Approved {
			names = append(names, who.Name)
		}
		rows = append(rows, []string{r.ID, r.Act, r.Object, shortened(itemsOf(r)), r.By.Name, strings.Join(names, ", "), fmt.Sprint(r.Need), moment(r.Expires), stateOf(r), shortened(r.By.Reason)})
	}
	return a.table(rows)
}

func itemsOf(r *api.Approval) string {
	if r.DeadLetters {
		return "with its dead letters"
	}
	return r.Items
}

func stateOf(r *api.Approval) string {
	switch {
	case r.Changed:
		return r.State + ", but its object changed: request it again"
	case r.Result != "":
		return r.State + ": " + r.Result
	}
	return r.State
}

type approvalsApprove struct {
	remote
	Reason string `help:"Why, in your words; the relay's own record contains it." placeholder:"TEXT"`
	ID     string `arg:"" help:"The request, from approvals list." placeholder:"REQUEST"`
	Digest string `help:"Approve it only if it has this digest (see approvals list --json)." placeholder:"SHA256"`
	JSON   bool   `help:"Print JSON."`
}

func (c *approvalsApprove) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	r, err := a.approvalOf(cl, c.ID)
	if err != nil {
		return err
	}
	if c.Digest != "" {
		r.Digest = c.Digest
	}
	done, err := cl.Approve(a.ctx, r.ID, r.Digest, api.Why{Reason: c.Reason})
	if err != nil {
		return err
	}
	if c.JSON {
		return a.printJSON(done)
	}
	_, err = fmt.Fprintf(a.stdout, "%s\n", escaped([]byte(strings.Join([]string{done.Act, done.Object, itemsOf(&done)}, " ")+", asked for by "+done.By.Name+": "+stateOf(&done))))
	return err
}

// approvalOf returns the request with an id, so that the user approves what was listed.
func (a *program) approvalOf(cl *client.Client, id string) (api.Approval, error) {
	all, err := cl.Approvals(a.ctx)
	if err != nil {
		return api.Approval{}, err
	}
	for _, r := range all {
		if r.ID == id {
			return r, nil
		}
	}
	return api.Approval{ID: id}, nil // the relay will report that there is none
}

type approvalsReject struct {
	remote
	Reason string `help:"Why, in your words; the relay's own record contains it." placeholder:"TEXT"`
	ID     string `arg:"" help:"The request, from approvals list." placeholder:"REQUEST"`
}

func (c *approvalsReject) Run(a *program) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	done, err := cl.Reject(a.ctx, c.ID, "", api.Why{Reason: c.Reason})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(a.stdout, "request %s is %s\n", done.ID, done.State)
	return err
}
