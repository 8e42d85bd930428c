package keycloak

import (
	"context"
	"errors"
	"net/url"
	"slices"
)

// Person is what a realm says of one of its users, service accounts included.
type Person struct {
	Username      string
	Email         string
	EmailVerified bool
	// Enabled users can log in.
	Enabled bool
	// Groups are the whole paths of the groups that the user is a member of, sorted.
	Groups []string
	// RealmRoles are the roles in force, those that groups and other roles bring
	// along included, sorted.
	RealmRoles []string
}

// errAbsent is the answer about something that the realm does not have.
var errAbsent = errors.New("the realm has no such thing")

// Person reads a user by the subject of their tokens; nil when the realm has no
// such user any more. The gateway's own client needs the role view-users. A
// failure is a *fault.Error, 503 identity_unavailable, unless ctx ended.
func (d *Directory) Person(ctx context.Context, subject string) (*Person, error) {
	p, err := d.person(ctx, "/users/"+url.PathEscape(subject))
	if errors.Is(err, errAbsent) {
		return nil, nil
	}
	if err != nil {
		return nil, d.failed(ctx, "a user", err)
	}
	return p, nil
}

func (d *Directory) person(ctx context.Context, path string) (*Person, error) {
	var u struct {
		Username      string `json:"username"`
		Email         string `json:"email"`
		EmailVerified bool   `json:"emailVerified"`
		Enabled       bool   `json:"enabled"`
	}
	if err := d.get(ctx, path, nil, &u); err != nil {
		return nil, err
	}
	p := &Person{Username: u.Username, Email: u.Email, EmailVerified: u.EmailVerified, Enabled: u.Enabled}
	err := pages(ctx, d, path+"/groups", url.Values{"briefRepresentation": {"true"}}, func(g group) error {
		p.Groups = append(p.Groups, g.Path)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var roles []struct {
		Name string `json:"name"`
	}
	if err := d.get(ctx, path+"/role-mappings/realm/composite", nil, &roles); err != nil {
		return nil, err
	}
	for _, r := range roles {
		p.RealmRoles = append(p.RealmRoles, r.Name)
	}
	slices.Sort(p.Groups)
	slices.Sort(p.RealmRoles)
	return p, nil
}
