package accessrules

import (
	"net/http"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

func (a *api) getModel(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	s := a.Registry.Snapshot()
	return rest.WriteRecord(w, http.StatusOK, int64(s.ModelRevision), ModelRecord{renderModel(s.Model), int64(s.ModelRevision)})
}

func (a *api) putModel(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	q := rest.ReadQuery(r, "rebind")
	rebind := q.Flag("rebind")
	if err := q.Err(); err != nil {
		return err
	}
	body, err := a.rest.ReadBody(w, r, a.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	m, mistakes, err := readModel(body)
	if err != nil {
		return err
	}
	if len(mistakes) > 0 {
		return refused(append(mistakes, m.Check()...))
	}
	changed, err := a.Registry.ReplaceModel(r.Context(), actorOf(who), m, rebind != nil && *rebind)
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, int64(changed.Revision), renderChange(changed))
}

func (a *api) postRules(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	verbose, err := readVerbose(r)
	if err != nil {
		return err
	}
	body, err := a.rest.ReadBody(w, r, a.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	p, mistakes, err := readPost(body)
	if err != nil {
		return err
	}
	posted, err := a.Registry.PostRules(r.Context(), who.Actor, registry.RulePost{
		Creator: creatorOf(who), CreatedBy: who.Username, TokenDigest: who.TokenDigest,
		Strategy: rule.Strategy(p.strategy), Generation: p.generation, Rules: p.rules,
		Violations: mistakes,
	})
	if err != nil {
		return err
	}
	return writePosted(w, posted, verbose, rule.Warnings(p.rules))
}

func (a *api) commitRules(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	verbose, err := readVerbose(r)
	if err != nil {
		return err
	}
	body, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	var in rest.Reader
	var generation string
	err = in.Read(body, rest.Fields{"generation": rest.Text(codeBadRules, func(s string) { generation = s })})
	if err != nil {
		return err
	}
	if generation == "" && len(in.Violations) == 0 {
		in.Add(codeBadRules, "/generation", "generation is missing: which one is to be committed?")
	}
	if len(in.Violations) > 0 {
		return refused(in.Violations)
	}
	posted, err := a.Registry.CommitRules(r.Context(), who.Actor, registry.RuleCommit{
		Creator: creatorOf(who), CreatedBy: who.Username, TokenDigest: who.TokenDigest, Generation: generation,
	})
	if err != nil {
		return err
	}
	return writePosted(w, posted, verbose, nil)
}

// creatorOf is whom rules belong to that a caller posts outside of runs.
func creatorOf(who rest.Caller) rule.Creator {
	return rule.Creator{Issuer: who.Issuer, Subject: who.Subject}
}

// actorOf is the caller with the token by which the registry knows a run.
func actorOf(who rest.Caller) registry.Actor {
	actor := who.Actor
	actor.Bearer = who.TokenDigest
	return actor
}

func readVerbose(r *http.Request) (bool, error) {
	q := rest.ReadQuery(r, "verbose")
	verbose := q.Flag("verbose")
	return verbose != nil && *verbose, q.Err()
}

func writePosted(w http.ResponseWriter, p registry.RulePosted, verbose bool, found []fault.Violation) error {
	warnings := renderWarnings(found)
	if verbose {
		return rest.WriteJSON(w, http.StatusOK, PostedVerbose{renderNamed(p.Created), renderNamed(p.Ignored), renderNamed(p.Deleted), warnings})
	}
	return rest.WriteJSON(w, http.StatusOK, Posted{namesOf(p.Created), namesOf(p.Ignored), namesOf(p.Deleted), warnings})
}

func (a *api) checkRules(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	body, err := a.rest.ReadBody(w, r, a.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	of, filter, err := readCheck(body)
	if err != nil {
		return err
	}
	req, err := element.ParseRequest(filter, element.Options{})
	if err != nil {
		return err
	}
	defer req.Release()
	d, err := a.Judge.Check(r.Context(), of.subjects(), req)
	if err != nil {
		return err
	}
	defer d.Release()
	explained, err := verdict.ExplainJSON(d.Explanations)
	if err != nil {
		return err
	}
	answer := verdict.NewAnswer(req, d.Nodes, d.Relationships, verdict.AnswerOptions{Explain: explained})
	h := w.Header()
	h.Set("Content-Type", rest.MediaJSON)
	h.Set("Content-Length", strconv.FormatInt(answer.Size(), 10))
	h.Set("Cache-Control", "no-store")
	h.Set("Muster-Revision", strconv.FormatInt(int64(d.Revision), 10))
	w.WriteHeader(http.StatusOK)
	_, _ = answer.WriteTo(w) // a failed write only means that the caller went away
	return nil
}

// subjects are those of a token with this user name, these groups and, where a
// client is given, that client's own.
func (p principalOf) subjects() rule.Subjects {
	sub := rule.SubjectsOf(p.username, "", p.groups)
	// The account of a client with capital letters is not known as the client's own;
	// see rule.Warnings.
	if id := rule.ClientOf(p.client); id == strings.ToLower(id) {
		sub.Client = id
	}
	return sub
}

func (a *api) getFunction(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	n, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	p := who.Principal
	if err != nil || n < 0 || !a.Judge.Function(rule.SubjectsOf(p.Username, p.Client, p.Groups), rule.ID(n)) {
		return fault.New(fault.Denied, "denied", "no rule grants this function to the caller")
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) getRule(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	id, err := ruleID(r)
	if err != nil {
		return err
	}
	s := a.Registry.Snapshot()
	found, ok := s.Rules.Get(id)
	if !ok {
		return noRule()
	}
	return rest.WriteRecord(w, http.StatusOK, found.Revision, render(s.Model, &found))
}

func (a *api) putRule(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	id, err := ruleID(r)
	if err != nil {
		return err
	}
	body, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	in, mistakes, err := readOneRule(body)
	if err != nil {
		return err
	}
	if len(mistakes) > 0 {
		return refused(append(mistakes, in.Check()...))
	}
	stored, err := a.Registry.PutRule(r.Context(), actorOf(who), id, in, rest.IfMatch(r))
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, stored.Revision, render(a.Registry.Snapshot().Model, &stored))
}

func (a *api) deleteRule(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	id, err := ruleID(r)
	if err != nil {
		return err
	}
	if err := a.Registry.DeleteRule(r.Context(), actorOf(who), id, rest.IfMatch(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) deleteMine(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	q := rest.ReadQuery(r, "createdBy", "step")
	if q.Get("createdBy") != "me" {
		q.Add("createdBy=me is needed: all rules of the caller are deleted, and nobody else's")
	}
	if err := q.Err(); err != nil {
		return err
	}
	of := creatorOf(who)
	of.Step = q.Get("step")
	n, err := a.Registry.DeleteRulesOf(r.Context(), actorOf(who), of)
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, http.StatusOK, Removed{n})
}
