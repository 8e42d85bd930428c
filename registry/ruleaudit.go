package registry

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/registry/rule"
)

// The names of actions on rules and the model in the audit log.
const (
	ActionRulesPosted        = "rule.posted"
	ActionRulesStaged        = "rule.staged"
	ActionRulesCommitted     = "rule.committed"
	ActionRulesDeleted       = "rule.deleted_of"
	ActionRuleUpdated        = "rule.updated"
	ActionRuleDeleted        = "rule.deleted"
	ActionGenerationsDropped = "rule.generations_dropped"
	ActionModelReplaced      = "model.replaced"
)

// postJSON is what the audit log holds of a change of many rules: what tells
// whether two were the same, not a million rules.
type postJSON struct {
	Creator    creatorJSON   `json:"creator"`
	Strategy   rule.Strategy `json:"strategy,omitempty"`
	Generation string        `json:"generation,omitempty"`
	// Dropped are generations that gave way to this one.
	Dropped []string  `json:"dropped,omitempty"`
	Created namesJSON `json:"created"`
	Ignored namesJSON `json:"ignored"`
	Deleted namesJSON `json:"deleted"`
	// Written and Removed count rows: rules that were the same already, and such
	// as were deleted and created anew, are not among both.
	Written int `json:"written"`
	Removed int `json:"removed"`
	// Foreign are the first of the rules of other creators that were replaced or
	// ignored, ForeignCount all of them.
	Foreign      []foreignJSON `json:"foreign,omitempty"`
	ForeignCount int           `json:"foreignCount,omitempty"`
}

type creatorJSON struct {
	Issuer   string `json:"issuer"`
	Subject  string `json:"subject"`
	Step     string `json:"step,omitempty"`
	Username string `json:"username"`
}

// namesJSON tells of names by their number and a digest: the SHA-256 over each
// name and a zero byte, in the order of their bytes.
type namesJSON struct {
	Count  int    `json:"count"`
	SHA256 string `json:"sha256,omitempty"`
}

type foreignJSON struct {
	Name      string      `json:"name"`
	What      string      `json:"what"`
	CreatedBy creatorJSON `json:"createdBy"`
}

func creatorOf(o *rule.Owner) creatorJSON {
	return creatorJSON{o.Issuer, o.Subject, o.Step, o.Username}
}

func namesOf(list []Named) namesJSON {
	if len(list) == 0 {
		return namesJSON{}
	}
	sum := sha256.New()
	for i := range list {
		writeName(sum, list[i].Name)
	}
	return namesJSON{len(list), hex.EncodeToString(sum.Sum(nil))}
}

func writeName(sum hash.Hash, name string) {
	// A hash never fails to take what is written to it.
	_, _ = io.WriteString(sum, name)
	_, _ = sum.Write([]byte{0})
}

// auditAs appends one row about what was done.
func auditAs(ctx context.Context, tx Tx, actor Actor, action, resource string, at time.Time, before, after any) error {
	return auditResult(ctx, tx, actor, action, resource, resultOK, at, before, after)
}

// auditResult appends one row.
func auditResult(
	ctx context.Context, tx Tx, actor Actor, action, resource, result string, at time.Time, before, after any,
) error {
	id, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("make an audit id: %w", err)
	}
	e := AuditEntry{
		ID: id.String(), At: at, Actor: actor.storable(), Action: action, Resource: resource, Result: result,
	}
	for _, side := range []struct {
		from any
		to   *[]byte
	}{{before, &e.Before}, {after, &e.After}} {
		if side.from == nil {
			continue
		}
		if *side.to, err = json.Marshal(side.from); err != nil {
			return fmt.Errorf("write %s for the audit log: %w", resource, err)
		}
	}
	return tx.Audit(ctx, e)
}

// auditRules writes the row of a change of many rules.
func auditRules(ctx context.Context, tx Tx, actor Actor, action string, at time.Time, c *ruleChange, generation string) error {
	return auditAs(ctx, tx, actor, action, resourceOf(&c.owner.Creator), at, nil, c.json(generation))
}

func auditStaged(ctx context.Context, tx Tx, actor Actor, at time.Time, c *ruleChange, g *Generation, dropped []string) error {
	after := c.json(g.ID)
	after.Dropped = dropped
	return auditAs(ctx, tx, actor, ActionRulesStaged, resourceOf(&c.owner.Creator), at, nil, after)
}

// resourceOf names all rules of a creator.
func resourceOf(c *rule.Creator) string {
	s := "rules:" + c.Subject
	if c.Step != "" {
		s += ":" + c.Step
	}
	return s
}

func (c *ruleChange) json(generation string) postJSON {
	p := postJSON{
		Creator: creatorOf(&c.owner), Strategy: c.strategy, Generation: generation,
		Created: namesOf(c.answer.Created), Ignored: namesOf(c.answer.Ignored), Deleted: namesOf(c.answer.Deleted),
		Written: len(c.made), Removed: len(c.deleted), ForeignCount: c.strange,
	}
	for _, f := range c.foreign {
		p.Foreign = append(p.Foreign, foreignJSON{f.name, f.what, creatorOf(f.owner)})
	}
	return p
}

// auditDropped writes the row for generations that nobody committed.
func auditDropped(ctx context.Context, tx Tx, at time.Time, dropped []Generation) error {
	type one struct {
		Generation string      `json:"generation"`
		Creator    creatorJSON `json:"creator"`
		Started    time.Time   `json:"started"`
	}
	all := make([]one, 0, min(len(dropped), maxForeign))
	for i := range dropped[:min(len(dropped), maxForeign)] {
		g := &dropped[i]
		all = append(all, one{g.ID, creatorOf(&rule.Owner{Creator: g.Creator}), g.StartedAt})
	}
	after := struct {
		Count       int   `json:"count"`
		Generations []one `json:"generations"`
	}{len(dropped), all}
	return auditAs(ctx, tx, Muster(), ActionGenerationsDropped, "rules", at, nil, after)
}

// ruleJSON is a rule as the audit log shows it, in the words of the published
// body. Of very long lists the counts remain.
type ruleJSON struct {
	ID         int64           `json:"id"`
	Name       string          `json:"name"`
	Active     bool            `json:"active"`
	Users      []string        `json:"users,omitempty"`
	Groups     []string        `json:"groups,omitempty"`
	Clients    []string        `json:"clients,omitempty"`
	Entities   []entityJSON    `json:"entities,omitempty"`
	Relations  []rule.ID       `json:"relationships,omitempty"`
	Conditions []conditionJSON `json:"propertyValueConditions,omitempty"`
	Functions  []rule.ID       `json:"functions,omitempty"`
	CreatedBy  creatorJSON     `json:"createdBy"`
	Run        string          `json:"run,omitempty"`
	CreatedAt  time.Time       `json:"createdAt"`
	UpdatedAt  time.Time       `json:"updatedAt"`
	Revision   int64           `json:"revision"`
	// SHA256 is of the whole rule's JSON, when lists were cut.
	SHA256 string `json:"sha256,omitempty"`
}

type entityJSON struct {
	ID         rule.ID   `json:"id"`
	Properties []rule.ID `json:"properties,omitempty"`
}

type conditionJSON struct {
	PropertyID rule.ID `json:"PropertyId"`
	Value      string  `json:"Value"`
}

// maxRuleJSON is from how many bytes on the audit log has only the beginnings of
// a rule's lists.
const maxRuleJSON = 64 << 10

func auditRule(ctx context.Context, tx Tx, actor Actor, action string, at time.Time, before, after *rule.Rule) error {
	var sides [2]any
	for i, r := range []*rule.Rule{before, after} {
		if r == nil {
			continue
		}
		side, err := ruleForAudit(r)
		if err != nil {
			return err
		}
		sides[i] = side
	}
	return auditAs(ctx, tx, actor, action, "rule:"+strconv.FormatInt(before.ID, 10), at, sides[0], sides[1])
}

func ruleForAudit(r *rule.Rule) (*ruleJSON, error) {
	out := &ruleJSON{
		ID: r.ID, Name: r.Name, Active: r.Active, Users: r.Users, Groups: r.Groups, Clients: r.Clients,
		Relations: r.Relationships, Functions: r.Functions, Run: r.Run, CreatedAt: r.CreatedAt, UpdatedAt: r.UpdatedAt,
		Revision: r.Revision, CreatedBy: creatorOf(&rule.Owner{Creator: r.Creator, Username: r.CreatedBy}),
	}
	for _, e := range r.Entities {
		out.Entities = append(out.Entities, entityJSON(e))
	}
	for _, c := range r.Conditions {
		out.Conditions = append(out.Conditions, conditionJSON{c.Property, c.Value})
	}
	data, err := json.Marshal(out)
	if err != nil {
		return nil, fmt.Errorf("write rule %d for the audit log: %w", r.ID, err)
	}
	if len(data) <= maxRuleJSON {
		return out, nil
	}
	sum := sha256.Sum256(data)
	out.SHA256 = hex.EncodeToString(sum[:])
	const few = 10
	out.Users, out.Groups, out.Clients = cut(out.Users, few), cut(out.Groups, few), cut(out.Clients, few)
	out.Relations, out.Functions = cut(out.Relations, few), cut(out.Functions, few)
	out.Conditions, out.Entities = cut(out.Conditions, few), cut(out.Entities, few)
	for i := range out.Entities {
		out.Entities[i].Properties = cut(out.Entities[i].Properties, few)
	}
	return out, nil
}

func cut[T any](list []T, most int) []T { return list[:min(len(list), most)] }

// modelJSON is what the audit log holds of a model: its size and a digest.
type modelJSON struct {
	Entities      int    `json:"entities"`
	Properties    int    `json:"properties"`
	Relationships int    `json:"relationships"`
	SHA256        string `json:"sha256"`
	// Rebound are the first of the ids that stand for something else now.
	Rebound      []string `json:"rebound,omitempty"`
	ReboundCount int      `json:"reboundCount,omitempty"`
}

func auditModel(ctx context.Context, tx Tx, actor Actor, at time.Time, now *Snapshot, m *rule.Model, rebound []rule.Ref) error {
	after, err := modelForAudit(m)
	if err != nil {
		return err
	}
	after.ReboundCount = len(rebound)
	for _, ref := range cut(rebound, maxForeign) {
		after.Rebound = append(after.Rebound, ref.String())
	}
	if now.ModelRevision == 0 {
		return auditAs(ctx, tx, actor, ActionModelReplaced, "model", at, nil, after)
	}
	before, err := modelForAudit(now.Model)
	if err != nil {
		return err
	}
	return auditAs(ctx, tx, actor, ActionModelReplaced, "model", at, before, after)
}

func modelForAudit(m *rule.Model) (*modelJSON, error) {
	data, err := m.MarshalJSON()
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(data)
	out := &modelJSON{Entities: len(m.Entities), Relationships: len(m.Relationships), SHA256: hex.EncodeToString(sum[:])}
	for i := range m.Entities {
		out.Properties += len(m.Entities[i].Properties)
	}
	return out, nil
}
