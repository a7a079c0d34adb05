package ui

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"time"

	"auditrelay/cli/internal/api"
)

type tapView struct {
	api.TapQuery
	Callbacks []api.CallbackStatus
	Stream    string // address of the stream; empty until the user opens it
}

// errSignedOut means that the session of an open tap ended.
var errSignedOut = errors.New("the session ended")

func tapQuery(v *visit) (q api.TapQuery, ok bool) {
	values := v.r.URL.Query()
	q = api.TapQuery{Stage: values.Get("stage"), Callback: values.Get("callback"), Action: values.Get("action"), Table: values.Get("table"), ID: values.Get("id")}
	return q, values.Has("stage")
}

func (v *visit) tap() error {
	out := tapView{}
	all, err := v.api.Callbacks(v.r.Context())
	if err != nil {
		return err
	}
	for _, c := range all {
		if c.Replay == "" {
			out.Callbacks = append(out.Callbacks, c)
		}
	}
	var started bool
	if out.TapQuery, started = tapQuery(v); started {
		q := api.Query(out.TapQuery)
		q.Set("stage", out.Stage)
		out.Stream = "/ui/tap/stream?" + q.Encode()
	}
	return v.show("tap", "Tap", out)
}

// tapStream sends each line of a tap as an HTML fragment. The browser keeps only the newest.
func (v *visit) tapStream() error {
	q, _ := tapQuery(v)
	control := http.NewResponseController(v.w)
	begun := false
	err := v.api.Tap(v.r.Context(), q, func(l *api.TapLine) error {
		if _, signed := v.sessions.token(v.r, true); v.signed && !signed {
			return errSignedOut
		}
		if !begun {
			v.w.Header().Set("Content-Type", "text/event-stream")
			begun = true
		}
		var html bytes.Buffer
		if l.Stage == "" && l.Lost == 0 {
			html.WriteString(": still open\n\n")
		} else {
			html.WriteString("event: line\n")
			var item bytes.Buffer
			if err := v.templates["tap"].ExecuteTemplate(&item, "line", l); err != nil {
				return err
			}
			for part := range bytes.Lines(shown(item.Bytes())) {
				fmt.Fprintf(&html, "data: %s\n", bytes.TrimRight(part, "\r\n"))
			}
			html.WriteString("\n")
		}
		_ = control.SetWriteDeadline(v.now().Add(10 * time.Second))
		if _, err := v.w.Write(html.Bytes()); err != nil {
			return err
		}
		return control.Flush()
	})
	if begun {
		return nil // whatever the reason, the stream is over
	}
	return err
}
