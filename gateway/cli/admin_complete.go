package cli

import (
	"context"
	"encoding/json"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// completer offers values for one place of a command line, from the arguments
// before it.
type completer func(ctx context.Context, c *client, args []string) ([]cobra.Completion, error)

// mostCompletions bounds how much of a list is read to complete a word.
const mostCompletions = 1000

// completeAccess completes each argument by the completer of its place. It keeps
// quiet when there is no gateway or no right: completion is no place for errors.
func (s *shell) completeAccess(places ...completer) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		const none = cobra.ShellCompDirectiveNoFileComp
		if len(args) >= len(places) {
			return nil, none
		}
		c, err := s.connect()
		if err != nil {
			return nil, none
		}
		defer c.close()
		ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Second)
		defer cancel()
		out, err := places[len(args)](ctx, c, args)
		if err != nil {
			return nil, none
		}
		return out, none
	}
}

// completeFlag completes a flag's value.
func (s *shell) completeFlag(cmd *cobra.Command, flag string, of completer) {
	err := cmd.RegisterFlagCompletionFunc(flag, func(cmd *cobra.Command, _ []string, text string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return s.completeAccess(of)(cmd, nil, text)
	})
	if err != nil {
		panic(err) // a flag that the command does not have: a defect that any test finds
	}
}

// offered makes completions of a list's entries; of returns a value and what is
// said of it, an empty value for none. What a terminal could not show as it is is
// left out.
func offered[T any](ctx context.Context, c *client, path string, of func(*T) (value, about string)) ([]cobra.Completion, error) {
	found, _, err := c.listed(ctx, path, url.Values{}, mostCompletions)
	if err != nil {
		return nil, err
	}
	return completions(found, of)
}

func completions[T any](found []json.RawMessage, of func(*T) (value, about string)) ([]cobra.Completion, error) {
	var out []cobra.Completion
	for _, raw := range found {
		v, err := readAs[T]("list", raw)
		if err != nil {
			return nil, err
		}
		if value, about := of(v); value != "" && clean(value) == value {
			out = append(out, cobra.CompletionWithDesc(value, clean(about)))
		}
	}
	return out, nil
}

func completeGroup(ctx context.Context, c *client, _ []string) ([]cobra.Completion, error) {
	return offered(ctx, c, groupsPath, func(g *groupRecord) (string, string) {
		if isID(g.Name) { // would be taken for an id
			return g.ID, g.Name
		}
		return g.Name, g.Description
	})
}

func completeUser(ctx context.Context, c *client, _ []string) ([]cobra.Completion, error) {
	return offered(ctx, c, usersPath, func(u *userRecord) (string, string) {
		if u.Email == "" {
			return u.ID, u.Username
		}
		return u.Email, u.Name
	})
}

// completeToken offers one's own good tokens.
func completeToken(ctx context.Context, c *client, _ []string) ([]cobra.Completion, error) {
	return offered(ctx, c, tokensPath, func(t *tokenRecord) (string, string) {
		if t.state(time.Now()) != "good" {
			return "", ""
		}
		return t.ID, t.Name
	})
}

func completeType(ctx context.Context, c *client, _ []string) ([]cobra.Completion, error) {
	types, err := c.types(ctx)
	if err != nil {
		return nil, err
	}
	return completions(types, func(t *typeRecord) (string, string) { return t.Key, t.Description })
}

func (c *client) types(ctx context.Context) ([]json.RawMessage, error) {
	all, _, err := c.pageOf(ctx, typesPath, nil)
	return all, err
}

// completeScope offers read, admin and the beginnings of resources.
func completeScope(ctx context.Context, c *client, _ []string) ([]cobra.Completion, error) {
	out := []cobra.Completion{
		cobra.CompletionWithDesc("read", "whatever you may, without changing anything"),
		cobra.CompletionWithDesc("admin", "all that an admin may"),
	}
	types, err := c.types(ctx)
	if err != nil {
		return out, nil //nolint:nilerr // only admins may list the types; the others know the ids that they ask for
	}
	more, err := completions(types, func(t *typeRecord) (string, string) { return t.Key + ":", t.Description })
	return append(out, more...), err
}

// completeResource offers the resources of the type that the argument before
// names.
func completeResource(ctx context.Context, c *client, args []string) ([]cobra.Completion, error) {
	got, err := c.fetch(ctx, "/api/admin/access-overview")
	if err != nil {
		return nil, err
	}
	type item struct {
		ID   string `json:"resource_id"`
		Name string `json:"name"`
	}
	all, err := readAs[struct {
		Resources []struct {
			Type   string `json:"type_key"`
			Blocks []struct {
				Items []json.RawMessage `json:"items"`
			} `json:"blocks"`
		} `json:"resources"`
	}]("overview", got.body)
	if err != nil {
		return nil, err
	}
	var out []cobra.Completion
	for _, t := range all.Resources {
		for _, b := range t.Blocks {
			if t.Type != args[len(args)-1] {
				continue
			}
			more, err := completions(b.Items, func(i *item) (string, string) { return i.ID, i.Name })
			if err != nil {
				return nil, err
			}
			out = append(out, more...)
		}
	}
	return out, nil
}
