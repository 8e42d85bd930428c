package access

import (
	"bytes"
	"cmp"
)

// stamp tells the records that one change made, and may write, from those that
// are in sets already.
type stamp struct{ _ byte }

// person is a user with what is theirs.
type person struct {
	made        *stamp
	user        *User
	memberships list[membership]
	tokens      list[tokenItem]
}

func (p *person) key() ID { return p.user.ID }

// body is a group with what belongs to it.
type body struct {
	made    *stamp
	group   *Group
	members list[memberItem]
	grants  list[grantItem]
	// people counts users, who may be members by several sources.
	people int
}

func (b *body) key() ID { return b.group.ID }

// resource is what grants are on.
type resource struct {
	made   *stamp
	name   resourceKey
	shares list[share]
}

type resourceKey struct{ typ, id string }

func (r *resource) key() resourceKey { return r.name }

// membership is a user's membership; the group stands beside it for searches.
type membership struct {
	group ID
	*Member
}

func (m membership) compare(o membership) int {
	return cmp.Or(compareID(m.group, o.group), cmp.Compare(m.Source, o.Source))
}

// share is a grant on a resource; the group stands beside it for searches.
type share struct {
	group ID
	*Grant
}

func (s share) compare(o share) int { return compareID(s.group, o.group) }

// memberItem is a membership among those of its group.
type memberItem struct{ *Member }

func (m memberItem) compare(o memberItem) int {
	return cmp.Or(compareID(m.User, o.User), cmp.Compare(m.Source, o.Source))
}

// grantItem is a grant among others, by id.
type grantItem struct{ *Grant }

func (g grantItem) compare(o grantItem) int { return compareID(g.ID, o.ID) }

// tokenItem is a token among others, by id.
type tokenItem struct{ *Token }

func (t tokenItem) compare(o tokenItem) int { return compareID(t.ID, o.ID) }
func (t tokenItem) key() ID                 { return t.ID }

// digestItem is a token found by its digest.
type digestItem struct{ *Token }

func (d digestItem) key() [32]byte { return d.Digest }

// userItem is a user among others, by id.
type userItem struct{ *User }

func (u userItem) compare(o userItem) int { return compareID(u.ID, o.ID) }

// boundItem is a user found by what tokens call them.
type boundItem struct{ *User }

type subjectKey struct{ issuer, subject string }

func (b boundItem) key() subjectKey { return subjectKey{b.Issuer, b.Subject} }

// emailItem is a user among others, by folded e-mail address, then by id.
type emailItem struct {
	folded string
	*User
}

func (e emailItem) compare(o emailItem) int {
	return cmp.Or(cmp.Compare(e.folded, o.folded), compareID(e.ID, o.ID))
}

// groupItem is a group among others, by name.
type groupItem struct{ *Group }

func (g groupItem) compare(o groupItem) int { return cmp.Compare(g.Name, o.Name) }

// nameItem is a group found by name.
type nameItem struct{ *Group }

func (n nameItem) key() string { return n.Name }

func compareID(a, b ID) int { return bytes.Compare(a[:], b[:]) }
