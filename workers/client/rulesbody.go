package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
)

// ViewLevel is the one access level that there is.
const ViewLevel = "view"

// MaxRuleID is the largest id of an entity, property, relationship or function.
const MaxRuleID = 1<<53 - 1

// AccessRule is a Graph Access Rule as it is posted. It is always sent with its
// access level and with active, because other receivers' defaults are unknown.
type AccessRule struct {
	// Name is the rule's identity over all creators: begin it with something of
	// the worker's own.
	Name string
	// Inactive stores the rule without any effect. (The published sample is
	// inactive; a rule made from nothing here is not.)
	Inactive bool
	// Users, Groups and Clients are the subjects; at least one is needed.
	Users, Groups, Clients []string
	// Entities and Relationships are what the subjects may see; at least one is
	// needed, and an entity is the safe choice.
	Entities      []EntityGrant
	Relationships []int64
	// Conditions on different properties must all hold; give at most one value per
	// property in a rule, and one rule per alternative.
	Conditions []Condition
	Functions  []int64
}

// EntityGrant shows the nodes of an entity, with the properties listed.
type EntityGrant struct {
	ID         int64
	Properties []int64
}

// Condition has a rule speak only for nodes whose property has this value, in its
// string form.
type Condition struct {
	Property int64
	Value    string
}

// The wire's forms: every list is an array, never null.
type (
	wireRule struct {
		Name          string          `json:"name"`
		AccessLevel   string          `json:"accessLevel"`
		Active        bool            `json:"active"`
		Users         []string        `json:"users"`
		Groups        []string        `json:"groups"`
		Clients       []string        `json:"clients"`
		Entities      []wireEntity    `json:"entities"`
		Relationships []int64         `json:"relationships"`
		Conditions    []wireCondition `json:"propertyValueConditions"`
		Functions     []int64         `json:"functions"`
	}
	wireEntity struct {
		ID         int64   `json:"id"`
		Properties []int64 `json:"properties"`
	}
	// wireCondition has the two members that the contract spells with capitals.
	wireCondition struct {
		PropertyID int64  `json:"PropertyId"`
		Value      string `json:"Value"`
	}
)

// MarshalJSON writes the rule as the contract spells it.
func (a AccessRule) MarshalJSON() ([]byte, error) {
	w := wireRule{
		Name: a.Name, AccessLevel: ViewLevel, Active: !a.Inactive,
		Users: list(a.Users), Groups: list(a.Groups), Clients: list(a.Clients),
		Entities: make([]wireEntity, len(a.Entities)), Relationships: list(a.Relationships),
		Conditions: make([]wireCondition, len(a.Conditions)), Functions: list(a.Functions),
	}
	for i, e := range a.Entities {
		w.Entities[i] = wireEntity{ID: e.ID, Properties: list(e.Properties)}
	}
	for i, c := range a.Conditions {
		w.Conditions[i] = wireCondition{PropertyID: c.Property, Value: c.Value}
	}
	out, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("client: encode the rule %q: %w", a.Name, err)
	}
	return out, nil
}

func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}

// Check says, all at once, why a gateway would refuse the rule; nil when it would
// not for what the rule itself holds. It quotes no value of a condition.
func (a *AccessRule) Check() error {
	var bad []error
	if a.Name == "" {
		bad = append(bad, errors.New("it has no name"))
	}
	if len(a.Users)+len(a.Groups)+len(a.Clients) == 0 {
		bad = append(bad, errors.New("it has no subject: give it a user, a group or a client"))
	}
	if len(a.Entities)+len(a.Relationships) == 0 {
		bad = append(bad, errors.New("it has neither an entity nor a relationship"))
	}
	for _, names := range [][]string{a.Users, a.Groups, a.Clients} {
		for _, n := range names {
			if n == "" {
				bad = append(bad, errors.New("one of its subjects is empty"))
			}
		}
	}
	for _, id := range a.ids() {
		if id < 0 || id > MaxRuleID {
			bad = append(bad, fmt.Errorf("the id %d is not from 0 to %d", id, int64(MaxRuleID)))
		}
	}
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("client: the rule %q would be refused: %w", a.Name, errors.Join(bad...))
}

func (a *AccessRule) ids() []int64 {
	var all []int64
	for _, e := range a.Entities {
		all = append(append(all, e.ID), e.Properties...)
	}
	for _, c := range a.Conditions {
		all = append(all, c.Property)
	}
	return append(append(all, a.Relationships...), a.Functions...)
}

// batch is a request's body under construction.
type batch struct {
	text  []byte
	head  int
	rules int
	names map[string]bool
}

const bodyEnd = "]}"

func newBatch(s Strategy, generation string) *batch {
	// Neither is anything that JSON could fail to encode.
	strategy, _ := json.Marshal(s)
	head := fmt.Appendf(nil, `{"ruleCreationStrategy":%s,`, strategy)
	if generation != "" {
		id, _ := json.Marshal(generation)
		head = fmt.Appendf(head, `"generation":%s,`, id)
	}
	head = append(head, `"rules":[`...)
	return &batch{text: head, head: len(head), names: map[string]bool{}}
}

// add appends a rule, or says why it cannot be posted.
func (b *batch) add(a *AccessRule) error {
	text, err := encode(a)
	if err != nil {
		return err
	}
	if b.names[a.Name] {
		return fmt.Errorf("client: the rule %q is there twice", a.Name)
	}
	b.append(a.Name, text)
	return nil
}

func encode(a *AccessRule) ([]byte, error) {
	if err := a.Check(); err != nil {
		return nil, err
	}
	return a.MarshalJSON()
}

func (b *batch) append(name string, text []byte) {
	if b.rules > 0 {
		b.text = append(b.text, ',')
	}
	b.text = append(b.text, text...)
	b.rules++
	b.names[name] = true
}

// body is the whole text; the batch goes on being usable.
func (b *batch) body() []byte { return append(slices.Clip(b.text), bodyEnd...) }

// size is the body's length in bytes.
func (b *batch) size() int { return len(b.text) + len(bodyEnd) }

// reset empties the batch and keeps its room.
func (b *batch) reset() {
	b.text, b.rules = b.text[:b.head], 0
	clear(b.names)
}
