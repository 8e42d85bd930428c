package transform

import (
	"context"
	"fmt"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
	"github.com/muster-fleet/muster/workers/token"

	"google.golang.org/protobuf/proto"
)

const (
	// maxHeld bounds what is held of a stream until its end, in bytes as they came
	// in. In memory it is a few times as much.
	maxHeld = 64 << 20
	// ownLines is more than the lines that the gateway writes itself into the log of
	// a run, whatever the retries.
	ownLines = 200
)

// intake takes the rules that a worker streams. Those that replace all of the
// step's rules are staged chunk by chunk, as a generation, so that a million of
// them need not be held; others are held until the stream has ended well.
type intake struct {
	attempt *attempt
	who     *token.Principal
	token   string

	strategy rule.Strategy // empty before the first chunk
	held     []rule.Rule
	staged   bool
	chunks   int
	bytes    int // of what is held, as it came in
	lines    int // of the worker's, in the run's log
	message  string
	found    []fault.Violation // of rules that are held
}

var strategies = map[workerv1.RuleCreationStrategy]rule.Strategy{
	workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_UNSPECIFIED:         rule.Ignore,
	workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_IGNORE:              rule.Ignore,
	workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_DELETE_ON_CONFLICT:  rule.DeleteOnConflict,
	workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_DELETE_ALL_FOR_USER: rule.DeleteAllForUser,
}

// take takes one chunk.
func (in *intake) take(ctx context.Context, chunk *workerv1.TransformResponse) error {
	wish, known := strategies[chunk.GetStrategy()]
	unspecified := chunk.GetStrategy() == workerv1.RuleCreationStrategy_RULE_CREATION_STRATEGY_UNSPECIFIED
	switch {
	case !known:
		return fail("bad_rules", "the worker's stream has the unknown strategy %s", strategyName(chunk.GetStrategy()))
	case in.strategy == "":
		in.strategy = wish
	case !unspecified && wish != in.strategy:
		return fail("bad_rules", "the worker's stream began with the strategy %s and went on with %s; one stream has one strategy",
			in.strategy, strategyName(chunk.GetStrategy()))
	}
	if text := chunk.GetMessage(); text != "" {
		in.message = text
		in.note(ctx, text)
	}
	rules, found := readRules(chunk.GetRules(), len(in.held))
	in.chunks++
	if in.strategy != rule.DeleteAllForUser {
		in.held, in.found = append(in.held, rules...), append(in.found, found...)
		if in.bytes += proto.Size(chunk); in.bytes > maxHeld {
			return fail("bad_rules", "the worker streamed more than %d bytes with the strategy %s; more are taken with DeleteAllForUser alone",
				maxHeld, in.strategy)
		}
		if len(in.held) > rule.MaxRules {
			return fail("bad_rules", "the worker streamed more than %d rules with the strategy %s; more are taken with DeleteAllForUser alone",
				rule.MaxRules, in.strategy)
		}
		return nil
	}
	if len(rules) == 0 {
		return nil
	}
	in.staged = true
	post := in.post(rules, found)
	post.Generation = in.generation()
	_, err := in.attempt.engine.deps.Registry.PostRules(ctx, in.actor(), post)
	return err
}

// note writes what the worker says into the run's log, as far as that has room
// for the gateway's own words in each attempt.
func (in *intake) note(ctx context.Context, text string) {
	room := (run.MaxLines - ownLines) / (in.attempt.run.Retries + 1)
	switch in.lines++; {
	case in.lines < room:
		in.attempt.line(ctx, "worker: %s", text)
	case in.lines == room:
		in.attempt.line(ctx, "the worker goes on to talk; the log of one attempt keeps %d of its messages, and the last one is told at the end", room-1)
	}
}

// finish stores what was streamed, after the stream's OK.
func (in *intake) finish(ctx context.Context) (message string, err error) {
	reg := in.attempt.engine.deps.Registry
	var posted registry.RulePosted
	switch {
	case in.chunks == 0:
		return in.message, nil // the worker has nothing to say about rules
	case in.staged:
		posted, err = reg.CommitRules(ctx, in.actor(), registry.RuleCommit{
			Creator: in.creator(), CreatedBy: in.who.Username, TokenDigest: run.DigestOf(in.token), Generation: in.generation(),
		})
	default:
		posted, err = reg.PostRules(ctx, in.actor(), in.post(in.held, in.found))
	}
	if err != nil {
		return "", err
	}
	in.attempt.line(ctx, "%d rules created, %d ignored, %d deleted", len(posted.Created), len(posted.Ignored), len(posted.Deleted))
	return in.message, nil
}

func (in *intake) post(rules []rule.Rule, found []fault.Violation) registry.RulePost {
	return registry.RulePost{
		Creator: in.creator(), CreatedBy: in.who.Username, TokenDigest: run.DigestOf(in.token),
		Strategy: in.strategy, Rules: rules, Violations: found,
	}
}

// generation is a name of this attempt's own.
func (in *intake) generation() string {
	return fmt.Sprintf("run %s attempt %d", in.attempt.run.ID, in.attempt.number)
}

func (in *intake) creator() rule.Creator {
	return rule.Creator{Issuer: in.who.Issuer, Subject: in.who.Subject}
}

func (in *intake) actor() registry.Actor {
	return registry.Actor{
		Subject: in.who.Subject, Issuer: in.who.Issuer, Username: in.who.Username, RequestID: string(in.attempt.run.ID),
	}
}

// readRules takes rules over from their messages; first is the number of the
// first one. What only the message can say wrongly is told, the rest is found when
// they are stored.
func readRules(all []*workerv1.AccessRule, first int) (rules []rule.Rule, found []fault.Violation) {
	rules = make([]rule.Rule, 0, len(all))
	for i, m := range all {
		if level := m.GetAccessLevel(); level != "" && level != "view" {
			found = append(found, fault.Violation{
				Code: rule.CodeBadRules, Pointer: fmt.Sprintf("/rules/%d/accessLevel", first+i),
				Detail: fmt.Sprintf("rule %s: accessLevel: only view is supported", shorten(m.GetName())),
			})
		}
		r := rule.Rule{
			Name: m.GetName(), Active: m.Active == nil || m.GetActive(),
			Users: m.GetUsers(), Groups: m.GetGroups(), Clients: m.GetClients(),
			Relationships: idsOf(m.GetRelationships()), Functions: idsOf(m.GetFunctions()),
		}
		for _, e := range m.GetEntities() {
			r.Entities = append(r.Entities, rule.EntityGrant{ID: rule.ID(e.GetId()), Properties: idsOf(e.GetProperties())})
		}
		for _, c := range m.GetPropertyValueConditions() {
			r.Conditions = append(r.Conditions, rule.Condition{Property: rule.ID(c.GetPropertyId()), Value: c.GetValue()})
		}
		rules = append(rules, r)
	}
	return rules, found
}

func idsOf(all []int64) []rule.ID {
	if all == nil {
		return nil
	}
	out := make([]rule.ID, len(all))
	for i, id := range all {
		out[i] = rule.ID(id)
	}
	return out
}
