package authz

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// MaxMapping is how many entries a role mapping may have.
const MaxMapping = 64

const (
	prefixRole  = "role:"
	prefixGroup = "group:"
)

// DefaultMapping makes holders of the realm role muster-admin members of Admin.
func DefaultMapping() map[string]string {
	return map[string]string{prefixRole + "muster-admin": access.Admin}
}

// CheckMapping says what is wrong with a role mapping, all of it at once, in the
// order of its keys. Keys are role:<realm role> or group:<full path>, values are
// names of groups.
func CheckMapping(m map[string]string) error {
	var wrong []error
	if len(m) > MaxMapping {
		wrong = append(wrong, fmt.Errorf("has %d entries; at most %d are taken", len(m), MaxMapping))
	}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if _, _, err := splitKey(key); err != nil {
			wrong = append(wrong, fmt.Errorf("%q %w", key, err))
		}
		if err := access.CheckGroupName(m[key]); err != nil {
			wrong = append(wrong, fmt.Errorf("%q stands for a group whose name %w", key, err))
		}
		if m[key] == access.Everyone {
			wrong = append(wrong, fmt.Errorf("%q stands for %s, which everybody is in", key, access.Everyone))
		}
	}
	return errors.Join(wrong...)
}

func splitKey(key string) (role, group string, err error) {
	role, isRole := strings.CutPrefix(key, prefixRole)
	group, isGroup := strings.CutPrefix(key, prefixGroup)
	switch {
	case isRole && role != "":
		return role, "", nil
	case isGroup && group != "":
		return "", group, nil
	default:
		return "", "", errors.New("is neither role:<realm role> nor group:<full path>")
	}
}

// mapped is one entry of a role mapping.
type mapped struct {
	role, group string
	// name is the one name that it stands for, as the resolver asks for it.
	name []string
}

func newMapping(m map[string]string) ([]mapped, error) {
	if err := CheckMapping(m); err != nil {
		return nil, fmt.Errorf("authz: access.roleMapping: %w", err)
	}
	out := make([]mapped, 0, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		role, group, err := splitKey(key)
		if err != nil {
			return nil, err
		}
		out = append(out, mapped{role: role, group: group, name: []string{m[key]}})
	}
	return out, nil
}

// mappedBy returns which entries a token meets, a bit for each. Names are compared
// exactly: nothing but realm roles and whole paths of groups maps.
func (a *Access) mappedBy(p *token.Principal) uint64 {
	var met uint64
	for i := range a.mapping {
		m := &a.mapping[i]
		if m.role != "" && slices.Contains(p.RealmRoles, m.role) || m.group != "" && slices.Contains(p.Groups, m.group) {
			met |= 1 << i
		}
	}
	return met
}

// claimed are the names of groups that a token's groups claim gives: whole paths.
// No claim names a system group; what is one's name is left out.
func claimed(p *token.Principal) []string {
	if !slices.ContainsFunc(p.Groups, isSystem) {
		return p.Groups
	}
	return slices.DeleteFunc(slices.Clone(p.Groups), isSystem)
}

func isSystem(name string) bool { return name == access.Admin || name == access.Everyone }

// Named returns the names of the groups that a token gives: of the role mapping,
// then of its groups claim, each once.
func (a *Access) Named(p *token.Principal) []string {
	out := []string{}
	met := a.mappedBy(p)
	for i := range a.mapping {
		if met&(1<<i) != 0 {
			out = append(out, a.mapping[i].name[0])
		}
	}
	out = append(out, claimed(p)...)
	seen := make(map[string]bool, len(out))
	return slices.DeleteFunc(out, func(name string) bool {
		again := seen[name]
		seen[name] = true
		return again
	})
}

// Admits reports whether the identity provider may create a group of this name.
func (a *Access) Admits(name string) bool {
	return a.pattern != nil && a.pattern.MatchString(name) && access.CheckGroupName(name) == nil && !isSystem(name)
}
