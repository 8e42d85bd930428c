package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
)

// readers are all that read bodies, by the type that describes the body.
func readers() map[reflect.Type]func([]byte) error {
	return map[reflect.Type]func([]byte) error{
		reflect.TypeFor[GroupInput]():      func(b []byte) error { _, err := readGroup(b); return err },
		reflect.TypeFor[GroupChange]():     func(b []byte) error { _, err := readGroupPatch(b); return err },
		reflect.TypeFor[MemberInput]():     func(b []byte) error { _, err := readOne(b, "email"); return err },
		reflect.TypeFor[MembershipInput](): func(b []byte) error { _, err := readOne(b, "group_id"); return err },
		reflect.TypeFor[GrantInput]():      func(b []byte) error { _, err := readGrant(b); return err },
		reflect.TypeFor[TokenInput]():      func(b []byte) error { _, err := readToken(b); return err },
		reflect.TypeFor[TableInput]():      func(b []byte) error { _, err := readTable(b); return err },
		reflect.TypeFor[TableChange]():     func(b []byte) error { _, err := readTable(b); return err },
	}
}

// The readers know exactly the members of the Go types that the OpenAPI
// description is made from, and every body of the API has a reader.
func TestBodiesAreReadAsDescribed(t *testing.T) {
	all := readers()
	for _, op := range newAPI(Deps{}).operations() {
		if op.Body != nil && all[op.Body] == nil {
			t.Errorf("%s is described with %s, which nobody reads", op.ID, op.Body)
		}
	}
	for of, read := range all {
		e := fault.From(read([]byte(`{"?":1}`)))
		got := ""
		for _, v := range e.Violations {
			if _, list, ok := strings.Cut(v.Detail, "known are "); ok {
				got = list
			}
		}
		var want []string
		for _, field := range reflect.VisibleFields(of) {
			if field.Anonymous {
				continue // its members are among them
			}
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			want = append(want, name)
		}
		slices.Sort(want)
		if got != strings.Join(want, ", ") {
			t.Errorf("%s is described with %v and read with %s", of.Name(), want, got)
		}
	}
}

// What the Go types can write is read with the same values.
func TestWhatIsDescribedIsTaken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringMatching(`[a-zä*:/@. ]{0,8}[a-z]`)
		at := time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "at"), 0).UTC()
		grant := GrantInput{text.Draw(t, "group"), text.Draw(t, "type"), text.Draw(t, "resource"), rapid.Ptr(rapid.Just(at), true).Draw(t, "expires")}
		in, err := readGrant(written(t, grant))
		if err != nil || in.group != grant.GroupID || in.typ != grant.ResourceType || in.resource != grant.ResourceID ||
			!reflect.DeepEqual(in.expires, grant.ExpiresAt) {
			t.Fatalf("%+v was read as %+v: %v", grant, in, err)
		}
		scopes := rapid.SliceOfN(text, 1, maxScopes).Draw(t, "scopes")
		token := TokenInput{text.Draw(t, "name"), rapid.Ptr(rapid.IntRange(1, maxDays), true).Draw(t, "days"), &scopes}
		got, err := readToken(written(t, token))
		if err != nil || got.name != token.Name || !slices.Equal(got.scopes, scopes) || !reflect.DeepEqual(got.days, token.ExpiresInDays) || got.never {
			t.Fatalf("%+v was read as %+v: %v", token, got, err)
		}
	})
}

func written(t *rapid.T, v any) []byte {
	body, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// Each mistake of a body is 400, at its place, and all are told at once.
func TestMistakesOfBodies(t *testing.T) {
	all := readers()
	grant, token := all[reflect.TypeFor[GrantInput]()], all[reflect.TypeFor[TokenInput]()]
	group, change := all[reflect.TypeFor[GroupInput]()], all[reflect.TypeFor[GroupChange]()]
	member, table := all[reflect.TypeFor[MemberInput]()], all[reflect.TypeFor[TableInput]()]
	for _, c := range []struct {
		read func([]byte) error
		body string
		want string
	}{
		{group, `{}`, "bad_request/name"},
		{group, `{"name":" \t"}`, "blank/name"},
		{group, `{"name":1}`, "bad_request/name"},
		{group, `{"name":null,"description":2,"owner":"x"}`, "bad_request/name bad_request/description bad_request/owner"},
		{group, `{"name":"a","description":null}`, ""},
		{change, `{}`, ""},
		{change, `{"name":""}`, "blank/name"},
		{change, `{"name":"a","description":""}`, ""},
		{change, `{"is_system":true}`, "bad_request/is_system"},
		{member, `{"email":""}`, "blank/email"},
		{member, `{"email":["a"]}`, "bad_request/email"},
		{grant, `{}`, "bad_request/group_id bad_request/resource_type bad_request/resource_id"},
		{grant, `{"group_id":"g","resource_type":"t","resource_id":" "}`, "blank/resource_id"},
		{grant, `{"group_id":"g","resource_type":"t","resource_id":"r","expires_at":null}`, ""},
		{grant, `{"group_id":"g","resource_type":"t","resource_id":"r","expires_at":"tomorrow"}`, "bad_request/expires_at"},
		{grant, `{"group_id":7,"resource_type":true,"resource_id":{},"expires_at":1}`, "bad_request/group_id bad_request/resource_type bad_request/resource_id bad_request/expires_at"},
		{token, `{"name":"ci"}`, ""},
		{token, `{"name":"ci","expires_in_days":null}`, ""},
		{token, `{"name":"ci","expires_in_days":0}`, "bad_expires_in_days/expires_in_days"},
		{token, `{"name":"ci","expires_in_days":-1}`, "bad_expires_in_days/expires_in_days"},
		{token, `{"name":"ci","expires_in_days":3651}`, "bad_expires_in_days/expires_in_days"},
		{token, `{"name":"ci","expires_in_days":"90"}`, "bad_expires_in_days/expires_in_days"},
		{token, `{"name":"ci","expires_in_days":1.5}`, "bad_expires_in_days/expires_in_days"},
		{token, `{"name":"ci","scopes":[]}`, "bad_scope/scopes"},
		{token, `{"name":"ci","scopes":null}`, "bad_request/scopes"},
		{token, `{"name":"ci","scopes":["read",null]}`, "bad_request/scopes"},
		{token, `{"name":"ci","scopes":"read"}`, "bad_request/scopes"},
		{token, `{"name":"","expires_in_days":0,"scopes":[]}`, "blank/name bad_expires_in_days/expires_in_days bad_scope/scopes"},
		{table, `{"name":null,"is_public":true}`, "bad_request/name bad_request/is_public"},
		{table, `{"primary_key":[1],"profile_after_sync":1,"query_mode":false}`, "bad_request/primary_key bad_request/profile_after_sync bad_request/query_mode"},
		{table, `{"primary_key":["a",null]}`, "bad_request/primary_key"},
		{table, `{"primary_key":{}}`, "bad_request/primary_key"},
		{table, `{"primary_key":"['a","folder":null}`, ""}, // a value that the registry refuses
		{token, `{"name":"a","name":"b"}`, "invalid_request"},
		{token, `{"name":`, "invalid_request"},
		{token, `[]`, "invalid_request"},
	} {
		err := c.read([]byte(c.body))
		if got := mistakes(err); got != c.want {
			t.Errorf("%s: got %q, want %q", c.body, got, c.want)
		}
		if e := fault.From(err); e != nil && e.Kind != fault.Invalid {
			t.Errorf("%s: %v is not 400", c.body, e.Kind)
		}
	}
}

// mistakes are codes and places of an error, "" for none.
func mistakes(err error) string {
	e := fault.From(err)
	if e == nil {
		return ""
	}
	var all []string
	for _, v := range e.Violations {
		all = append(all, v.Code+v.Pointer)
	}
	if len(all) == 0 {
		return e.Code
	}
	return strings.Join(all, " ")
}

func FuzzBodies(f *testing.F) {
	for _, s := range []string{
		`{}`, `{"name":"a","description":"b"}`, `{"name":"ci","expires_in_days":null,"scopes":["read","worker:*"]}`, `{"name":"ci","expires_in_days":1e9}`,
		`{"group_id":"x","resource_type":"worker","resource_id":"*","expires_at":"2027-01-31T06:00:00Z"}`, `{"email":"alice@example.org"}`,
		`{"a":1,"a":2}`, "\xff", `[`, `{"name":"\ud800"}`, `{"scopes":[[]]}`, `{"~/":null}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for of, read := range readers() {
			e := fault.From(read(body))
			switch {
			case e == nil && !json.Valid(body):
				t.Fatalf("%s: %q was taken for JSON", of, body)
			case e == nil:
				continue
			case e.Kind != fault.Invalid || e.Detail == "":
				t.Fatalf("%s: %q is refused by %v", of, body, e)
			}
			for _, v := range e.Violations {
				if !strings.HasPrefix(v.Pointer, "/") || v.Detail == "" || strings.ContainsAny(v.Detail, "\x00\x1b\n") {
					t.Fatalf("%s: %q: %+v", of, body, v)
				}
			}
		}
	})
}

// A cursor is read by the list that made it and by no other.
func TestCursors(t *testing.T) {
	lists := []list{listGroups, listMembers, listGrants, listUsers, listMemberships, listEffective, listWhoCan, listTokens, listSuggestions}
	for i, l := range lists {
		for j, other := range lists {
			key, ok := other.key(l.cursor("a\x00b"))
			if ok != (i == j) || ok && key != "a\x00b" {
				t.Errorf("a cursor of %s is read by %s: %q", l, other, key)
			}
		}
	}
}

func FuzzCursors(f *testing.F) {
	f.Add(listGroups.cursor("platform"))
	f.Add(listGrants.cursor(uuid.Nil.String()))
	f.Add(listMembers.cursor(uuid.Nil.String() + between + "admin"))
	f.Add("MTIz")
	f.Add("====")
	f.Fuzz(func(t *testing.T, given string) {
		query := func() *rest.Parameters {
			return rest.ReadQuery(&http.Request{URL: &url.URL{RawQuery: url.Values{"cursor": {given}}.Encode()}}, "cursor")
		}
		if key, ok := listGroups.key(given); ok && listGroups.cursor(key) != given {
			t.Fatalf("%q was read as %q, which is written %q", given, key, listGroups.cursor(key))
		}
		q := query()
		if id := listGrants.afterID(q); q.Err() == nil && given != "" && id == (uuid.UUID{}) && listGrants.cursor(uuid.Nil.String()) != given {
			t.Fatalf("%q was read as nothing, without a word", given)
		}
		q = query()
		id, second := listMembers.afterPair(q)
		if again := listMembers.cursor(id.String() + between + second); q.Err() == nil && given != "" && !strings.EqualFold(again, given) {
			if key, _ := listMembers.key(given); !strings.EqualFold(key, id.String()+between+second) {
				t.Fatalf("%q was read as %s and %q", given, id, second)
			}
		}
	})
}

// How long a token is good, by what is asked for and what is allowed.
func TestExpiry(t *testing.T) {
	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	days := func(n int) *int { return &n }
	for _, c := range []struct {
		limits TokenLimits
		days   *int
		never  bool
		want   time.Duration // 0 for never, -1 for refused
	}{
		{TokenLimits{}, nil, false, 90 * day},
		{TokenLimits{}, days(1), false, day},
		{TokenLimits{}, days(3650), false, 3650 * day},
		{TokenLimits{}, nil, true, -1},
		{TokenLimits{AllowUnlimited: true}, nil, true, 0},
		{TokenLimits{AllowUnlimited: true}, nil, false, 90 * day},
		{TokenLimits{MaxAge: 30 * day}, nil, false, 30 * day},
		{TokenLimits{MaxAge: 30 * day}, days(30), false, 30 * day},
		{TokenLimits{MaxAge: 30 * day}, days(31), false, -1},
		{TokenLimits{MaxAge: 30 * day}, nil, true, -1},
		{TokenLimits{MaxAge: 9999 * day}, days(3650), false, 3650 * day},
	} {
		got, err := c.limits.expires(now, c.days, c.never)
		switch {
		case c.want < 0:
			if e := fault.From(err); e == nil || e.Kind != fault.Unprocessable || e.Code != codeBadDays {
				t.Errorf("%+v: got %v %v", c, got, err)
			}
		case err != nil || c.want == 0 && !got.IsZero() || c.want > 0 && got.Sub(now) != c.want:
			t.Errorf("%+v: got %v %v", c, got, err)
		}
	}
}
