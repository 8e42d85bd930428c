package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/admin"
	"github.com/muster-fleet/muster/proto/fault"
)

// cats is a resource type that this test alone knows: one entry, and nothing else.
func cats() authz.Type {
	return authz.Type{
		Key: "cat", Display: "Cat", Description: "One cat: to feed it.", IDFormat: "the cat's name", Wildcard: true,
		Check: func(id string) (string, error) {
			if strings.Contains(id, " ") {
				return "", errors.New("has a blank in it")
			}
			return strings.ToLower(id), nil
		},
		Blocks: func(context.Context, authz.Facts) ([]authz.Block, error) {
			return []authz.Block{{ID: "house", Name: "In the house", Items: []authz.Item{{ResourceID: "tom", Name: "Tom"}}}}, nil
		},
		Missing: func(id string) error { return fault.New(fault.NotFound, "not_found", "there is no cat %q", id) },
	}
}

// A new entry in the table of types is all that it takes to list, grant, look up and
// narrow tokens to its resources.
func TestANewTypeIsSeenEverywhere(t *testing.T) {
	b := newBench(t, nil, admin.TokenLimits{}, cats())
	b.do(http.MethodGet, "/resource-types", "").want(t, http.StatusOK,
		`"key":"cat"`, `"display_name":"Cat"`, `"description":"One cat: to feed it."`, `"id_format":"the cat's name"`)
	b.do(http.MethodGet, "/access-overview", "").want(t, http.StatusOK,
		`"type_key":"cat"`, `"type_display":"Cat"`, `"name":"In the house"`, `"resource_id":"tom"`)

	feeders := b.group("feeders")
	b.do(http.MethodPost, "/groups/"+feeders+"/members", fmt.Sprintf(`{"email":%q}`, b.user("alice"))).want(t, http.StatusCreated)
	grant := func(id string) reply {
		return b.do(http.MethodPost, "/grants", fmt.Sprintf(`{"group_id":%q,"resource_type":"cat","resource_id":%q}`, feeders, id))
	}
	grant("a cat").want(t, http.StatusUnprocessableEntity, "bad_resource_id", "has a blank in it", "the cat's name")
	grant(" TOM ").want(t, http.StatusCreated, `"resource_id":"tom"`)
	grant("Tom").want(t, http.StatusConflict, "grant_exists")
	b.do(http.MethodPost, "/grants", fmt.Sprintf(`{"group_id":%q,"resource_type":"dog","resource_id":"rex"}`, feeders)).
		want(t, http.StatusBadRequest, "unknown_type", "cat")

	b.do(http.MethodGet, "/grants?resource_type=cat", "").want(t, http.StatusOK, `"resource_id":"tom"`, `"group_name":"feeders"`)
	b.do(http.MethodGet, "/access-overview", "").want(t, http.StatusOK, `"resource_type":"cat","resource_id":"tom"`)
	b.do(http.MethodGet, "/who-can?resource_type=cat&resource_id=TOM", "").want(t, http.StatusOK, b.user("alice"), "feeders")
	reach := b.do(http.MethodGet, "/users/"+b.user("alice")+"/effective-access", "").want(t, http.StatusOK, `"resource_type":"cat"`, "feeders")
	mine := b.as("alice", http.MethodGet, admin.MePath+"/effective-access", "").want(t, http.StatusOK, `"resource_type":"cat"`)
	if reach.body != mine.body {
		t.Errorf("%s and %s", reach.body, mine.body)
	}
	b.as("bob", http.MethodGet, admin.MePath+"/effective-access", "").want(t, http.StatusOK, `"items":[]`)

	token := func(who, scope string) reply {
		return b.as(who, http.MethodPost, admin.TokensPath, fmt.Sprintf(`{"name":"feeding","scopes":[%q]}`, scope))
	}
	token("alice", "cat:Tom").want(t, http.StatusCreated, `"scopes":["cat:tom"]`)
	token("alice", "cat:*").want(t, http.StatusForbidden, "scope_denied")
	token("bob", "cat:tom").want(t, http.StatusForbidden, "scope_denied")
	token("alice", "dog:rex").want(t, http.StatusUnprocessableEntity, "bad_scope", "cat")
	grant("*").want(t, http.StatusCreated, `"resource_id":"*"`)
	token("alice", "cat:*").want(t, http.StatusCreated)

	types, err := authz.NewTypes(append(authz.Standard(), cats())...)
	if err != nil || !strings.Contains(types.Markdown(), "| `cat` | One cat: to feed it. | the cat's name | yes | 404 not_found |") {
		t.Errorf("the reference says nothing of it: %v", err)
	}
	var all struct{ Items []struct{ Key string } }
	if err := json.Unmarshal([]byte(b.do(http.MethodGet, "/resource-types", "").body), &all); err != nil || len(all.Items) != 9 || all.Items[8].Key != "cat" {
		t.Errorf("%v %v", all, err)
	}
}
