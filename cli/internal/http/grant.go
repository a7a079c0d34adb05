package http

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"auditrelay/cli/internal/api"
)

// A follower that can read the store itself asks the leader for a grant: it forwards the
// request to the audit API with grantHeader. The leader decides about it as about any other
// request. If it allows the request, it responds with grantHeader and keeps the exchange open,
// in which both sides send JSON values:
//
//	leader:   granted                     whose request it is
//	follower: note with Reading or Export what it is about to show
//	leader:   noted                       it is on record, or refused
//	follower: note with Told or Ended     what it has shown
//	leader:   noted
//
// The request's body is the follower's side. When it ends without Ended, an export has failed.
// Any other response goes to the client, as for a request without grantHeader.

// granted says whose request was allowed.
type granted struct {
	Principal string `json:"principal"`
	Namespace string `json:"namespace,omitempty"` // to which the principal is confined
}

// note is a follower's message. An empty one only shows that the follower still works.
type note struct {
	Reading *string       `json:"reading,omitempty"` // the shown record, or "" for several
	Export  *exportRecord `json:"export,omitempty"`
	Told    *int          `json:"told,omitempty"` // number of shown records
	Ended   *exportEnd    `json:"ended,omitempty"`
}

type exportEnd struct {
	Of     exportRecord `json:"of"`
	Failed bool         `json:"failed,omitempty"`
}

// noted is the leader's answer to a note.
type noted struct {
	Refused *refusal `json:"refused,omitempty"` // nil: it is on record
}

// refusal is an api.Error with its status.
type refusal struct {
	Error      *api.Error    `json:"error"`
	Status     int           `json:"status"`
	RetryAfter time.Duration `json:"retry_after,omitempty"`
}

func refusalOf(e *api.Error) *refusal {
	if e == nil {
		return nil
	}
	return &refusal{e, e.Status, e.RetryAfter}
}

func (r *refusal) answer() *api.Error {
	if r == nil {
		return nil
	}
	e := *r.Error
	e.Status, e.RetryAfter = r.Status, r.RetryAfter
	return &e
}

const (
	// noteEvery is how often a follower sends a note, at least.
	noteEvery = 20 * time.Second
	// notePatience is how long the leader waits for the next note.
	notePatience = 2 * time.Minute
)

// errGrantOver: the follower ended its export without saying how, or is gone.
var errGrantOver = errors.New("the relay that reads the store for the client is gone")

// grantFor returns the value of grantHeader for a store. It proves that the sender knows the
// fleet's secret, since another client's header may have been forwarded, and that both relays
// read the same database.
func grantFor(secret string, l Store) string {
	h := hmac.New(sha256.New, []byte(secret))
	h.Write([]byte("grant\x00" + l.Callback() + "\x00" + l.Place()))
	return hex.EncodeToString(h.Sum(nil))
}

// grantKey is the context's key for the value of grantHeader.
type grantKey struct{}

// asksGrant reports whether a follower asks for permission to answer from l itself.
func (s *Server) asksGrant(r *http.Request, l Store) bool {
	given, ok := r.Context().Value(grantKey{}).(string)
	return ok && r.Method == http.MethodGet && hmac.Equal([]byte(given), []byte(grantFor(s.secret(), l)))
}

// grant lets a follower answer a request that this relay allows, and records what it shows.
func (s *Server) grant(w http.ResponseWriter, r *http.Request, who principal, rec recorder) {
	w.Header().Set(grantHeader, "granted")
	w.Header().Set("Content-Type", "application/x-ndjson")
	control := http.NewResponseController(w)
	out, in := json.NewEncoder(patientWriter{w, s.patience.write}), json.NewDecoder(r.Body)
	send := func(v any) error { return errors.Join(out.Encode(v), control.Flush()) }
	if err := send(granted{who.name, who.namespace}); err != nil {
		return
	}
	var end func(exportRecord, error) error
	var begun exportRecord
	told := func(int) {}
	defer func() {
		if end != nil {
			if err := end(begun, errGrantOver); err != nil {
				s.log.Error("the end of an export is recorded at the next start", "by", who.by(), "error", err)
			}
		}
	}()
	for {
		_ = control.SetReadDeadline(time.Now().Add(notePatience)) // if it cannot be set, the server's ReadTimeout applies
		var n note
		if err := in.Decode(&n); err != nil {
			return
		}
		var refused *api.Error
		switch {
		case n.Reading != nil:
			told, refused = rec.reading(*n.Reading)
		case n.Export != nil && end == nil:
			begun = *n.Export
			end, refused = rec.export(begun)
		case n.Told != nil:
			told(*n.Told)
		case n.Ended != nil && end != nil:
			refused = s.endExport(end, n.Ended)
			end = nil
		default:
			continue
		}
		if err := send(noted{refusalOf(refused)}); err != nil || refused != nil {
			return
		}
	}
}

// endExport records the end of an export.
func (s *Server) endExport(end func(exportRecord, error) error, how *exportEnd) *api.Error {
	var failure error
	if how.Failed {
		failure = errGrantOver
	}
	if err := end(how.Of, failure); err != nil {
		return away(err.Error())
	}
	return nil
}
