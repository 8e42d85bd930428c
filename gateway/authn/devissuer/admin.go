package devissuer

import (
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/workers/token"
)

const (
	adminPath = "/admin/realms/" + Realm
	// defaultPage is how many entries Keycloak gives without max.
	defaultPage = 100
)

// adminRoutes are the admin endpoints that a gateway reads for rule
// transformations, paged as Keycloak pages them.
func (i *Issuer) adminRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET "+adminPath+"/users", i.asAdmin(i.adminUsers))
	mux.HandleFunc("GET "+adminPath+"/users/count", i.asAdmin(i.adminCount))
	mux.HandleFunc("GET "+adminPath+"/users/{id}", i.asAdmin(i.adminUser))
	mux.HandleFunc("GET "+adminPath+"/users/{id}/groups", i.asAdmin(i.adminUserGroups))
	mux.HandleFunc("GET "+adminPath+"/users/{id}/role-mappings/realm/composite", i.asAdmin(i.adminUserRoles))
	mux.HandleFunc("GET "+adminPath+"/groups", i.asAdmin(i.adminGroups))
	mux.HandleFunc("GET "+adminPath+"/groups/{id}/children", i.asAdmin(i.adminChildren))
	mux.HandleFunc("GET "+adminPath+"/clients", i.asAdmin(i.adminClients))
}

// asAdmin lets the gateway's own client in: 401 for a bad token, 403 for another's.
func (i *Issuer) asAdmin(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, err := token.FromHeader(r.Header)
		if err == nil {
			claims, bad := i.readOwn(raw)
			if bad == nil && claims["azp"] == ClientGateway {
				next(w, r)
				return
			}
			err = bad
		}
		if err != nil {
			i.writeJSON(w, http.StatusUnauthorized, map[string]string{"error": "HTTP 401 Unauthorized"})
			return
		}
		i.writeJSON(w, http.StatusForbidden, map[string]string{"error": "HTTP 403 Forbidden"})
	}
}

func (i *Issuer) userNames() []string {
	all := append(names(), i.config.Users...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (i *Issuer) adminUsers(w http.ResponseWriter, r *http.Request) {
	type user struct {
		ID       string `json:"id"`
		Username string `json:"username"`
		Enabled  bool   `json:"enabled"`
	}
	i.writePage(w, r, i.userNames(), func(name string) any {
		return user{ID: account{name: name}.subject(), Username: name, Enabled: true}
	})
}

// account finds the person or service account of a subject, or answers 404.
func (i *Issuer) account(w http.ResponseWriter, r *http.Request) (account, bool) {
	all := slices.Clone(people)
	for _, c := range clients {
		if slices.Contains(c.grants, grantClient) {
			all = append(all, serviceAccount(c))
		}
	}
	at := slices.IndexFunc(all, func(a account) bool { return a.subject() == r.PathValue("id") })
	if at < 0 {
		i.writeJSON(w, http.StatusNotFound, map[string]string{"error": "User not found"})
		return account{}, false
	}
	return all[at], true
}

func (i *Issuer) adminUser(w http.ResponseWriter, r *http.Request) {
	if a, ok := i.account(w, r); ok {
		i.writeJSON(w, http.StatusOK, map[string]any{
			"id": a.subject(), "username": a.name, "enabled": true, "email": a.email, "emailVerified": a.email != "",
		})
	}
}

func (i *Issuer) adminUserGroups(w http.ResponseWriter, r *http.Request) {
	a, ok := i.account(w, r)
	if !ok {
		return
	}
	i.writePage(w, r, a.groups, func(path string) any {
		return map[string]string{"id": groupID(path), "name": path[strings.LastIndex(path, "/")+1:], "path": path}
	})
}

func (i *Issuer) adminUserRoles(w http.ResponseWriter, r *http.Request) {
	a, ok := i.account(w, r)
	if !ok {
		return
	}
	roles := []map[string]string{}
	for _, name := range a.roles {
		roles = append(roles, map[string]string{"name": name})
	}
	i.writeJSON(w, http.StatusOK, roles)
}

func (i *Issuer) adminCount(w http.ResponseWriter, _ *http.Request) {
	i.writeJSON(w, http.StatusOK, len(i.userNames()))
}

// groupPaths are the paths of all groups with those above them.
func (i *Issuer) groupPaths() []string {
	all := slices.Clone(i.config.Groups)
	for _, p := range people {
		all = append(all, p.groups...)
	}
	for _, path := range slices.Clone(all) {
		for at := strings.LastIndex(path, "/"); at > 0; at = strings.LastIndex(path[:at], "/") {
			all = append(all, path[:at])
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func groupID(path string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:muster:dev:group:"+path)).String()
}

// below returns the groups right below a path.
func (i *Issuer) below(parent string) []string {
	var all []string
	for _, path := range i.groupPaths() {
		if rest, ok := strings.CutPrefix(path, parent+"/"); ok && rest != "" && !strings.Contains(rest, "/") {
			all = append(all, path)
		}
	}
	return all
}

func (i *Issuer) writeGroups(w http.ResponseWriter, r *http.Request, parent string) {
	type group struct {
		ID        string `json:"id"`
		Name      string `json:"name"`
		Path      string `json:"path"`
		Children  int    `json:"subGroupCount"`
		SubGroups []any  `json:"subGroups"`
	}
	i.writePage(w, r, i.below(parent), func(path string) any {
		return group{
			ID: groupID(path), Name: path[strings.LastIndex(path, "/")+1:], Path: path,
			Children: len(i.below(path)), SubGroups: []any{},
		}
	})
}

func (i *Issuer) adminGroups(w http.ResponseWriter, r *http.Request) { i.writeGroups(w, r, "") }

func (i *Issuer) adminChildren(w http.ResponseWriter, r *http.Request) {
	for _, path := range i.groupPaths() {
		if groupID(path) == r.PathValue("id") {
			i.writeGroups(w, r, path)
			return
		}
	}
	i.writeJSON(w, http.StatusNotFound, map[string]string{"error": "Could not find group by id"})
}

func (i *Issuer) adminClients(w http.ResponseWriter, r *http.Request) {
	var ids []string
	for _, c := range clients {
		ids = append(ids, c.id)
	}
	type entry struct {
		ID              string `json:"id"`
		ClientID        string `json:"clientId"`
		Enabled         bool   `json:"enabled"`
		ServiceAccounts bool   `json:"serviceAccountsEnabled"`
	}
	i.writePage(w, r, ids, func(id string) any {
		c, _ := clientByID(id)
		return entry{
			ID: account{name: "client:" + id}.subject(), ClientID: id, Enabled: true,
			ServiceAccounts: slices.Contains(c.grants, grantClient),
		}
	})
}

// writePage answers with the entries from first on, at most max.
func (i *Issuer) writePage(w http.ResponseWriter, r *http.Request, all []string, show func(string) any) {
	query := r.URL.Query()
	first, most := number(query, "first", 0), number(query, "max", defaultPage)
	from := min(first, len(all))
	page := []any{}
	for _, one := range all[from:min(from+most, len(all))] {
		page = append(page, show(one))
	}
	i.pages.Add(1)
	i.writeJSON(w, http.StatusOK, page)
}

func number(query url.Values, name string, otherwise int) int {
	n, err := strconv.ParseUint(query.Get(name), 10, 31)
	if err != nil {
		return otherwise
	}
	return int(n)
}

// AdminPages returns how many pages the admin endpoints have given. It is for
// tests.
func (i *Issuer) AdminPages() int64 { return i.pages.Load() }
