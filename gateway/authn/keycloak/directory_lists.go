package keycloak

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// maxPasses is how often the users are read anew when they change meanwhile.
const maxPasses = 3

// errDeep is a tree of groups that no realm has: Keycloak would have answered
// wrongly.
var errDeep = errors.New("the groups lie deeper than 100 levels")

const maxDepth = 100

// Users returns the user names of the realm, sorted; service accounts are not
// among them. Pages are cut from a list that may change meanwhile: it is read
// again when the number of users changed, and whoever was seen once counts.
func (d *Directory) Users(ctx context.Context) ([]string, error) {
	seen := map[string]bool{}
	for range maxPasses {
		before, err := d.count(ctx)
		if err != nil {
			return nil, d.failed(ctx, "the users", err)
		}
		err = pages(ctx, d, "/users", url.Values{"briefRepresentation": {"true"}}, func(u user) error {
			if !u.serviceAccount() {
				seen[u.Username] = true
			}
			return nil
		})
		if err != nil {
			return nil, d.failed(ctx, "the users", err)
		}
		after, err := d.count(ctx)
		if err != nil {
			return nil, d.failed(ctx, "the users", err)
		}
		if before == after {
			break
		}
	}
	return sortedNames(seen), nil
}

type user struct {
	Username string `json:"username"`
	// Client is set for service accounts, which Keycloak leaves out of the list.
	Client string `json:"serviceAccountClientId"`
}

func (u user) serviceAccount() bool { return u.Client != "" }

func (d *Directory) count(ctx context.Context) (n int, err error) {
	err = d.get(ctx, "/users/count", nil, &n)
	return n, err
}

// Groups returns the whole paths of the realm's groups, nested ones included,
// sorted, each with its leading slash.
func (d *Directory) Groups(ctx context.Context) ([]string, error) {
	seen := map[string]bool{}
	if err := d.groups(ctx, "/groups", seen, 0); err != nil {
		return nil, d.failed(ctx, "the groups", err)
	}
	return sortedNames(seen), nil
}

type group struct {
	ID       string  `json:"id"`
	Path     string  `json:"path"`
	Children int     `json:"subGroupCount"`
	Inline   []group `json:"subGroups"`
}

func (d *Directory) groups(ctx context.Context, path string, seen map[string]bool, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	return pages(ctx, d, path, url.Values{"briefRepresentation": {"true"}}, func(g group) error {
		return d.group(ctx, g, seen, depth)
	})
}

func (d *Directory) group(ctx context.Context, g group, seen map[string]bool, depth int) error {
	if depth > maxDepth {
		return errDeep
	}
	seen[g.Path] = true
	if len(g.Inline) >= g.Children { // all of them came along
		for _, child := range g.Inline {
			if err := d.group(ctx, child, seen, depth+1); err != nil {
				return err
			}
		}
		return nil
	}
	return d.groups(ctx, "/groups/"+url.PathEscape(g.ID)+"/children", seen, depth+1)
}

// ServiceAccounts returns the user names of the service accounts of the realm's
// clients, sorted.
func (d *Directory) ServiceAccounts(ctx context.Context) ([]string, error) {
	seen := map[string]bool{}
	err := pages(ctx, d, "/clients", url.Values{}, func(c struct {
		ClientID string `json:"clientId"`
		Has      bool   `json:"serviceAccountsEnabled"`
	},
	) error {
		if c.Has {
			// Keycloak keeps user names in lower case.
			seen[serviceAccountPrefix+strings.ToLower(c.ClientID)] = true
		}
		return nil
	})
	if err != nil {
		return nil, d.failed(ctx, "the clients", err)
	}
	return sortedNames(seen), nil
}

// pages reads all entries of a list, page by page.
func pages[T any](ctx context.Context, d *Directory, path string, query url.Values, each func(T) error) error {
	size := d.config.PageSize
	query.Set("max", strconv.Itoa(size))
	for first := 0; ; first += size {
		query.Set("first", strconv.Itoa(first))
		var page []T
		if err := d.get(ctx, path, query, &page); err != nil {
			return err
		}
		for _, one := range page {
			if err := each(one); err != nil {
				return err
			}
		}
		if len(page) < size {
			return nil
		}
	}
}

func sortedNames(seen map[string]bool) []string {
	all := make([]string, 0, len(seen))
	for name := range seen {
		if name != "" {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return all
}
