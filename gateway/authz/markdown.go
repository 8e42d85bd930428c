package authz

import (
	"strings"
)

// Markdown is the table for the reference.
func (t *Table) Markdown() string {
	var b strings.Builder
	b.WriteString("| endpoint | needs | tokens | changes | notes |\n|---|---|---|---|---|\n")
	for _, e := range t.list {
		changes := "no"
		if e.Changes() {
			changes = "yes, `" + e.Action + "`"
		}
		b.WriteString("| `" + e.Key + "` | " + e.Need.words() + " | " + e.tokens() + " | " + changes + " | " + e.notes() + " |\n")
	}
	return b.String()
}

func (n Need) words() string {
	switch n.kind {
	case needPublic:
		return "nothing"
	case needAnybody:
		return "a valid token"
	case needAdmin:
		return "membership in Admin"
	case needGrant:
		parts := make([]string, len(n.any))
		for i := range n.any {
			parts[i] = n.any[i].words()
		}
		text := strings.Join(parts, " or ")
		if n.creator {
			text += ", or to be the creator"
		}
		return text
	case needNothing:
	}
	return ""
}

func (p *Pair) words() string {
	switch {
	case p.Some:
		return "any grant of type `" + p.Type + "`"
	case p.Via != nil:
		return "a grant on `" + p.Type + "` of " + p.Says
	default:
		return "a grant on `" + p.Type + "` `" + p.ID + "`"
	}
}

func (e *Endpoint) tokens() string {
	switch {
	case e.Need.kind == needPublic:
		return ""
	case e.Login && e.Audience == ForService:
		return "any of a login"
	case e.Login:
		return "management, of a login"
	case e.Audience == ForService:
		return "any"
	case e.Audience == ForServiceAccounts:
		return "management, or a service account's"
	default:
		return "management"
	}
}

func (e *Endpoint) notes() string {
	notes := e.Note
	add := func(s string) {
		if notes != "" {
			notes += "; "
		}
		notes += s
	}
	if e.Ops {
		add("on the operations listener")
	}
	if e.Sees != nil {
		add("404 for who may not see " + e.Sees.Type + " " + e.Sees.ID)
	}
	return notes
}

// Markdown is the table of types for the reference.
func (t *Types) Markdown() string {
	var b strings.Builder
	b.WriteString("| resource type | is | resource id | all by `*` | without the grant |\n|---|---|---|---|---|\n")
	for _, one := range t.list {
		all, refusal := "no", "404 "+codeNotFound
		if one.Wildcard {
			all = "yes"
		}
		if one.Missing == nil {
			refusal = "403 " + one.Code
		}
		b.WriteString("| `" + one.Key + "` | " + one.Description + " | " + one.IDFormat + " | " + all + " | " + refusal + " |\n")
	}
	return b.String()
}
