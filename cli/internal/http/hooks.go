package http

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"

	"auditrelay"
	"auditrelay/cli/internal/api"
	"auditrelay/cli/internal/sources"
	"auditrelay/config"
	"auditrelay/internal/ingest"
	"auditrelay/runtime"
)

// hook is a path for one producer (a webhook). Its sender rarely reads an answer, so input that
// is not a valid event goes into quarantine and is answered as accepted.
type hook struct {
	name      string // with the prefix "hook:"
	secrets   []string
	auth      config.HookAuth
	schema    *runtime.Schema
	namespace string
	rates     sources.Rates
}

// hookPrefix precedes a hook's name wherever a sender is named.
const hookPrefix = "hook:"

// newHooks returns the hooks of a checked configuration.
func newHooks(cfg *config.Config) (map[string]*hook, error) {
	hooks := map[string]*hook{}
	var errs []error
	for i := range cfg.Ingest.Hooks {
		h := &cfg.Ingest.Hooks[i]
		s := cfg.SchemaNamed(h.Schema)
		if s == nil || h.Auth == nil {
			errs = append(errs, fmt.Errorf("hook %s: there is no schema %s", h.Name, h.Schema))
			continue
		}
		next := &hook{name: hookPrefix + h.Name, auth: *h.Auth, schema: s.Compiled(), namespace: h.Namespace, rates: sources.NewRates(h.Rate)}
		for _, secret := range h.Secrets {
			next.secrets = append(next.secrets, secret.Reveal())
		}
		hooks[h.Name] = next
	}
	return hooks, errors.Join(errs...)
}

// shows reports whether a request's header contains one of the hook's secrets, if the hook
// requires that.
func (h *hook) shows(r *http.Request) bool {
	shown := strings.TrimSpace(r.Header.Get(h.auth.Header))
	if scheme, value, ok := strings.Cut(shown, " "); ok && strings.EqualFold(scheme, "Bearer") {
		shown = strings.TrimSpace(value)
	}
	presented, found := sha256.Sum256([]byte(shown)), 0
	for _, secret := range h.secrets { // compares with every secret, so that the time taken reveals nothing
		one := sha256.Sum256([]byte(secret))
		found |= subtle.ConstantTimeCompare(presented[:], one[:])
	}
	return found == 1 && shown != ""
}

// hashes are the hash functions allowed for signatures.
var hashes = map[config.HMACHash]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New, "sha1": sha1.New}

// signed reports whether the header contains a signature of body made with one of the secrets.
func (h *hook) signed(r *http.Request, body []byte) bool {
	text, ok := strings.CutPrefix(strings.TrimSpace(r.Header.Get(h.auth.Header)), h.auth.Prefix)
	signature, err := hex.DecodeString(text)
	if err != nil {
		signature, err = base64.StdEncoding.DecodeString(text)
	}
	if !ok || err != nil || len(signature) == 0 {
		return false
	}
	found := false
	for _, secret := range h.secrets {
		mac := hmac.New(hashes[h.auth.HMAC], []byte(secret))
		mac.Write(body)
		found = hmac.Equal(signature, mac.Sum(nil)) || found
	}
	return found
}

func errHook(h *hook) *api.Error {
	what := "has none of the hook's secrets"
	if h.auth.HMAC != "" {
		what = "has no signature of the body by one of the hook's secrets"
	}
	return &api.Error{Status: http.StatusUnauthorized, Reason: api.ReasonUnauthorized, Message: fmt.Sprintf("the header %s %s", h.auth.Header, what)}
}

// denyHook answers a request that failed the hook's authentication.
func (s *Server) denyHook(w http.ResponseWriter, r *http.Request, h *hook) {
	err := errHook(h)
	s.deny(r, err.Reason, h.name)
	s.denied.Add(1)
	if slow := s.failures.slow(r.Context(), peerAddress(r)); slow != nil {
		err = slow
	}
	respondError(w, err)
}

func (s *Server) hook(r *http.Request) (*hook, *api.Error) {
	if h := s.auth.Load().hooks[r.PathValue("name")]; h != nil {
		return h, nil
	}
	return nil, &api.Error{Status: http.StatusNotFound, Reason: api.ReasonNotFound, Message: "there is no hook of this name", Hint: "ingest.hooks of the configuration has them"}
}

// maxChallenge limits the length of a challenge, which is repeated in the answer.
const maxChallenge = 1024

// getHook answers a producer's request to verify that the hook belongs to it.
func (s *Server) getHook(w http.ResponseWriter, r *http.Request, _ principal) {
	h, err := s.hook(r)
	if err != nil {
		respondError(w, err)
		return
	}
	challenge := r.Header.Get(h.auth.Challenge)
	switch {
	case h.auth.HMAC == "" && !h.shows(r), h.auth.HMAC != "" && !h.signed(r, nil):
		s.denyHook(w, r, h)
	case h.auth.Challenge == "" || challenge == "" || len(challenge) > maxChallenge:
		respondError(w, badRequest("the request is not a challenge for this hook", "send events by POST"))
	default:
		respondJSON(w, map[string]string{h.auth.Answer: challenge})
	}
}

// postHook accepts a producer's events.
func (s *Server) postHook(w http.ResponseWriter, r *http.Request, _ principal) {
	h, refused := s.hook(r)
	if refused != nil {
		respondError(w, refused)
		return
	}
	signs := h.auth.HMAC != ""
	if !signs && !h.shows(r) {
		s.denyHook(w, r, h)
		return
	}
	if !signs && s.overHook(w, h) {
		return
	}
	full := min(s.memoryOf(r, true, true), s.large.most())
	held := &holding{server: s, ctx: r.Context(), who: h.name, full: full, atomic: true, copies: 2, event: int64(s.limits.EventBytes)}
	defer held.release()
	reading := held
	if signs {
		// The signature covers the whole body, so the sender is known only after all of it was
		// received. Until then the memory comes from the budget for unknown senders, by
		// address.
		reading = &holding{server: s, ctx: r.Context(), who: network(peerAddress(r)), from: s.unknown, full: min(int64(s.limits.BodyBytes)*9/4, s.unknown.most()), atomic: true, copies: 1}
		defer reading.release()
	}
	body, refused := s.hookBody(w, r, reading)
	if refused != nil {
		s.senders.Seen(h.name, 1)
		respondError(w, refused)
		return
	}
	if signs {
		if !h.signed(r, body) {
			s.denyHook(w, r, h)
			return
		}
		if s.overHook(w, h) {
			return
		}
		need := held.want(int64(len(body)))
		if r.Header.Get("Content-Encoding") != "" {
			need = full
		}
		if held.grow(need) != nil {
			respondError(w, busy())
			return
		}
	}
	in := intake{
		server: s, ctx: context.WithoutCancel(r.Context()), schema: h.schema, rates: h.rates, namespace: h.namespace, whole: body, lenient: true,
		from: auditrelay.Provenance{Source: "http", Principal: h.name, Address: peerAddress(r)},
	}
	in.accept(w, r, in.reader(bytes.NewReader(body), r), h.name)
}

// overHook answers a request above a hook's rate and reports whether there was one.
func (s *Server) overHook(w http.ResponseWriter, h *hook) bool {
	refused := beyond(h.rates, "hook")
	if refused != nil {
		s.metrics.refused(refused.Reason)
		s.senders.Seen(h.name, 1)
		respondError(w, refused)
	}
	return refused != nil
}

// hookBody reads the whole body, since the signature covers all of it.
func (s *Server) hookBody(w http.ResponseWriter, r *http.Request, held *holding) ([]byte, *api.Error) {
	most := int64(s.limits.BodyBytes)
	if r.ContentLength > most {
		return nil, s.bodyTooLarge()
	}
	first := held.want(0)
	if r.Header.Get("Content-Encoding") != "" && held.from == nil {
		first = held.full // a few compressed bytes may become many
	}
	if held.grow(first) != nil {
		return nil, busy()
	}
	body, err := io.ReadAll(io.LimitReader(&heldReader{pacedReader: newPacedReader(w, r, s.patience.body), h: held}, most+1))
	switch {
	case errors.Is(err, errBusy):
		return nil, busy()
	case errors.Is(err, errTooSlow):
		return nil, &api.Error{Status: http.StatusRequestTimeout, Reason: api.ReasonTooSlow, Message: errTooSlow.Error()}
	case err != nil:
		return nil, badRequest("the body was incomplete", "")
	case int64(len(body)) > most:
		return nil, s.bodyTooLarge()
	}
	return body, nil
}

// maxRefused is how many events of one request go into quarantine individually. If there are
// more, the whole request goes into quarantine.
const maxRefused = 100

// reasonConflict is the quarantine reason of an event whose id belongs to another event.
const reasonConflict = "conflict"

// quarantineLater collects an invalid event for quarantine. If data is nil, it collects the
// whole body once. It reports whether the event will be quarantined: an event that an ingest
// filter failed on is not, because the journal has a tombstone for it and nothing else of it
// may be kept.
func (in *intake) quarantineLater(data []byte, err error) bool {
	if !in.lenient || errors.Is(err, runtime.ErrIngestFilter) {
		return false
	}
	in.answer.Quarantined++
	if in.kept {
		return true
	}
	item := runtime.Quarantined{Data: bytes.Clone(data), Provenance: in.from, Namespace: in.namespace, Reason: "internal", Detail: err.Error()}
	if fault, ok := errors.AsType[*ingest.EventError](err); ok {
		item.Reason, item.Detail = string(fault.Reason), fault.Message
		if fault.Field != "" {
			item.Detail = fmt.Sprintf("field %q: %s", fault.Field, fault.Message)
		}
	} else if errors.Is(err, runtime.ErrConflict) {
		item.Reason = reasonConflict
	}
	if in.kept = data == nil || len(in.bad) == maxRefused; in.kept {
		item.Data = in.whole
	}
	if len(in.bad) == maxRefused {
		item.Detail = fmt.Sprintf("more than %d events of one request are invalid: it is kept whole; the first beyond: %s", maxRefused, item.Detail)
	}
	in.bad = append(in.bad, item)
	return true
}

// bury writes the collected items to the quarantine durably.
func (in *intake) bury() error {
	if len(in.bad) == 0 {
		return nil
	}
	return in.server.rt.Quarantine(in.ctx, in.bad...)
}

// replaySchema returns the schema for reading a sender's input when the input is replayed from
// quarantine.
func (a *auth) replaySchema(from auditrelay.Provenance) *runtime.Schema {
	if from.Source != "http" {
		return a.schemas[config.Sender{Kind: from.Source, Principal: from.Principal}]
	}
	if name, ok := strings.CutPrefix(from.Principal, hookPrefix); ok {
		if h := a.hooks[name]; h != nil {
			return h.schema
		}
	}
	for i := range a.tokens {
		if who := &a.tokens[i].who; who.name == from.Principal && who.schema != nil {
			return who.schema
		}
	}
	return nil
}
