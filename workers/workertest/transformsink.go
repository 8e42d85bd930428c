package workertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/client"
)

// maxSinkBody bounds one request to a sink.
const maxSinkBody = 64 << 20

// RuleSink receives Graph Access Rules as a gateway does, strategies and
// generations included, and holds them in memory: what a worker of type
// RuleTransformation posts to while it is tested. It does not verify tokens; the
// subject of one is the rules' creator. It is safe for concurrent use.
type RuleSink struct {
	url    string
	server *http.Server
	done   chan struct{}

	mu     sync.Mutex
	rules  map[string]storedRule
	staged map[string]*stagedRules // by creator
	ended  map[string]bool         // generations committed or superseded
	flaws  []string
	posts  int
	refuse *fault.Error
}

type storedRule struct {
	creator string
	rule    client.AccessRule
}

type stagedRules struct {
	generation string
	rules      map[string]client.AccessRule
}

// NewRuleSink starts a sink on an address such as 127.0.0.1:0; Close ends it.
func NewRuleSink(ctx context.Context, addr string) (*RuleSink, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("workertest: open the rule sink's listener: %w", err)
	}
	s := &RuleSink{
		url: "http://" + l.Addr().String(), done: make(chan struct{}),
		rules: map[string]storedRule{}, staged: map[string]*stagedRules{}, ended: map[string]bool{},
	}
	const headerTimeout = 5 * time.Second
	s.server = &http.Server{Handler: s.handler(), ReadHeaderTimeout: headerTimeout}
	go func() {
		defer close(s.done)
		// Serve ends with ErrServerClosed at Close; before that its callers notice.
		_ = s.server.Serve(l)
	}()
	return s, nil
}

// Close ends the sink and waits for it.
func (s *RuleSink) Close() error {
	err := s.server.Close()
	<-s.done
	if err != nil {
		return fmt.Errorf("workertest: close the rule sink: %w", err)
	}
	return nil
}

// URL is what the worker has to take for its gateway.
func (s *RuleSink) URL() string { return s.url }

// Rules are those in force, by name.
func (s *RuleSink) Rules() map[string]client.AccessRule {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]client.AccessRule, len(s.rules))
	for name, r := range s.rules {
		out[name] = r.rule
	}
	return out
}

// Flaws are what was wrong with what came, since the last call: things that a
// gateway refuses, and things that another receiver would take otherwise.
func (s *RuleSink) Flaws() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := s.flaws
	s.flaws = nil
	return out
}

// Posts counts the requests that have come.
func (s *RuleSink) Posts() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.posts
}

// Refuse has every request answered with f, until nil is given.
func (s *RuleSink) Refuse(f *fault.Error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = f
}

// Clear forgets all rules, committed and staged.
func (s *RuleSink) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.rules)
	clear(s.staged)
}

// plant puts a rule in force as if a creator had posted it.
func (s *RuleSink) plant(creator string, r client.AccessRule) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules[r.Name] = storedRule{creator, r}
}

// creators are those of the rules in force.
func (s *RuleSink) creators() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, r := range s.rules {
		seen[r.creator] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

func (s *RuleSink) handler() http.Handler {
	const path = "/api/graph-access-rule/accessRules"
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, s.serve(s.post))
	mux.HandleFunc("POST "+path+":commit", s.serve(s.commit))
	return mux
}

// serve answers one request; f is called under the lock.
func (s *RuleSink) serve(f func(creator string, body []byte) (client.Posted, error)) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(io.LimitReader(r.Body, maxSinkBody+1))
		s.mu.Lock()
		defer s.mu.Unlock()
		s.posts++
		creator := creatorOf(r.Header)
		var posted client.Posted
		switch {
		case err != nil:
			err = fault.New(fault.Invalid, "invalid_request", "the body could not be read to its end").Wrap(err)
		case len(body) > maxSinkBody:
			err = fault.New(fault.TooLarge, "too_large", "the body has more than %d bytes", maxSinkBody)
		case s.refuse != nil:
			err = s.refuse
		case creator == "":
			s.flaws = append(s.flaws, "rules were posted without the run's bearer token")
			err = fault.New(fault.Unauthenticated, "invalid_token", "a bearer token is needed")
		default:
			posted, err = f(creator, body)
		}
		if err != nil {
			fault.From(err).WriteProblem(rw)
			return
		}
		writeJSON(rw, posted)
	}
}

func creatorOf(h http.Header) string {
	raw, ok := strings.CutPrefix(h.Get("Authorization"), "Bearer ")
	if !ok {
		return ""
	}
	_, claims, err := readToken(raw)
	if err != nil {
		return ""
	}
	iss, _ := claims["iss"].(string)
	sub, _ := claims["sub"].(string)
	return iss + " " + sub
}

// post takes a request as a whole or not at all.
func (s *RuleSink) post(creator string, body []byte) (client.Posted, error) {
	req, flaws := readRules(body)
	s.flaws = append(s.flaws, flaws.all...)
	if len(flaws.refused) > 0 {
		return client.Posted{}, fault.New(fault.Invalid, "bad_rules", "%s", strings.Join(flaws.refused, "; "))
	}
	if req.generation != "" {
		return s.stage(creator, req)
	}
	posted := client.Posted{Created: []string{}, Ignored: []string{}, Deleted: []string{}}
	if req.strategy == client.DeleteAllForUser {
		posted.Deleted = s.drop(creator)
	}
	for _, r := range req.rules {
		if _, taken := s.rules[r.Name]; taken && req.strategy != client.DeleteOnConflict {
			posted.Ignored = append(posted.Ignored, r.Name)
			continue
		} else if taken {
			posted.Deleted = append(posted.Deleted, r.Name)
		}
		s.rules[r.Name] = storedRule{creator, r}
		posted.Created = append(posted.Created, r.Name)
	}
	return posted, nil
}

// drop removes a creator's rules.
func (s *RuleSink) drop(creator string) []string {
	gone := []string{}
	for name, r := range s.rules {
		if r.creator == creator {
			gone = append(gone, name)
		}
	}
	for _, name := range gone {
		delete(s.rules, name)
	}
	slices.Sort(gone)
	return gone
}

// stage adds a chunk; a repeated one changes nothing.
func (s *RuleSink) stage(creator string, req rulesRequest) (client.Posted, error) {
	if req.strategy != client.DeleteAllForUser {
		s.flaws = append(s.flaws, "a generation was posted with another strategy than DeleteAllForUser")
		return client.Posted{}, fault.New(fault.Invalid, "bad_rules", "a generation needs DeleteAllForUser")
	}
	if s.ended[req.generation] {
		return client.Posted{}, superseded()
	}
	g := s.staged[creator]
	if g == nil || g.generation != req.generation {
		if g != nil {
			s.ended[g.generation] = true
		}
		g = &stagedRules{generation: req.generation, rules: map[string]client.AccessRule{}}
		s.staged[creator] = g
	}
	posted := client.Posted{Created: []string{}, Ignored: []string{}, Deleted: []string{}}
	for _, r := range req.rules {
		g.rules[r.Name] = r
		posted.Created = append(posted.Created, r.Name)
	}
	return posted, nil
}

func superseded() error {
	return fault.New(fault.Conflict, "generation_superseded", "the generation is not known, or a newer one has begun")
}

func (s *RuleSink) commit(creator string, body []byte) (client.Posted, error) {
	var req struct {
		Generation string `json:"generation"`
	}
	if err := json.Unmarshal(body, &req); err != nil || req.Generation == "" {
		return client.Posted{}, fault.New(fault.Invalid, "bad_rules", "a commit names its generation").Wrap(errors.Join(err))
	}
	posted := client.Posted{Created: []string{}, Ignored: []string{}, Deleted: []string{}}
	g := s.staged[creator]
	if g == nil || g.generation != req.Generation {
		return posted, superseded()
	}
	posted.Deleted = s.drop(creator)
	for name, r := range g.rules {
		s.rules[name] = storedRule{creator, r}
		posted.Created = append(posted.Created, name)
	}
	slices.Sort(posted.Created)
	return posted, nil
}
