package cli

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"

	"github.com/spf13/cobra"
)

// stepFlags are the flags that a step can be written with, in place of a file.
type stepFlags struct {
	file, match                string
	worker, client, secretFile string
	users, groups, clients     []string
	entities, relationships    []string
	timeout                    string
	retries                    int
}

func (s *shell) stepPutCommand() *cobra.Command {
	f := &stepFlags{}
	cmd := &cobra.Command{
		Use: "put STEP", Aliases: []string{"set", "apply"},
		Short: "Add a step, or replace it as a whole",
		Long: `Add a step, or replace it as a whole: from a file with the body of the API, or by
flags. What is not asked for is not sent to the worker. The secret of the client
stays in its file below the gateway's transformations.secretsDir; the step only
names the file.`,
		Example: `  muster transform put nightly -f nightly.json
  muster transform put nightly --worker loader --client rule-loader --secret-file rule-loader --users all --groups /staff,/board --entities 414,415
  muster transform get nightly -o json | jq '.retries=3 | {worker,client,users,timeout,retries}' | muster transform put nightly -f -`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: s.completeSteps,
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.file, "file", "f", "", "file with the step as JSON, - for standard input")
	flags.StringVar(&f.worker, "worker", "", "uuid of a registered RuleTransformation worker, or its name")
	flags.StringVar(&f.client, "client", "", "Keycloak client that the worker acts as")
	flags.StringVar(&f.secretFile, "secret-file", "", "file with its secret, below transformations.secretsDir of the gateway")
	flags.StringSliceVar(&f.users, "users", nil, "users to send: all, or names separated by commas")
	flags.StringSliceVar(&f.groups, "groups", nil, "groups to send: all, or whole paths separated by commas")
	flags.StringSliceVar(&f.clients, "clients", nil, "service accounts to send: all, or clients separated by commas")
	flags.StringSliceVar(&f.entities, "entities", nil, "entities of the graph model to send: all, or ids separated by commas")
	flags.StringSliceVar(&f.relationships, "relationships", nil, "relationships of the graph model to send: all, or ids separated by commas")
	flags.StringVar(&f.timeout, "timeout", "", "bounds one attempt, from 1s to 24h (default 10m)")
	flags.IntVar(&f.retries, "retries", 0, "attempts that may follow one that did not succeed, at most 10")
	flags.StringVar(&f.match, "if-match", "", "only while the step has this revision")
	for _, list := range []string{"users", "groups", "clients", "entities", "relationships"} {
		s.complete(cmd, list, "all")
	}
	cmd.RunE = s.withClient(func(ctx context.Context, c *client, args []string) error {
		body, err := s.stepBody(ctx, c, cmd, f)
		if err != nil {
			return err
		}
		got, err := c.call(ctx, request{method: http.MethodPut, path: stepPath(args[0]), body: body, header: ifMatchHeader(f.match)})
		if err != nil {
			return err
		}
		return s.printStep(got.body)
	})
	return cmd
}

// stepBody makes the body of a step: the file's, or what the flags say.
func (s *shell) stepBody(ctx context.Context, c *client, cmd *cobra.Command, f *stepFlags) ([]byte, error) {
	given := false
	for _, name := range []string{
		"worker", "client", "secret-file", "users", "groups", "clients", "entities", "relationships", "timeout", "retries",
	} {
		given = given || cmd.Flags().Changed(name)
	}
	switch {
	case f.file != "" && given:
		return nil, usagef("give one of them", "the step is in --file and in flags")
	case f.file != "":
		return s.readBody(f.file)
	case f.worker == "" || f.client == "" || f.secretFile == "":
		return nil, usagef("give them, or --file", "a step needs --worker, --client and --secret-file")
	}
	worker, err := c.resolve(ctx, f.worker)
	if err != nil {
		return nil, err
	}
	body := map[string]any{
		"worker": worker, "client": map[string]string{"id": f.client, "secretFile": f.secretFile}, "retries": f.retries,
	}
	if f.timeout != "" {
		body["timeout"] = f.timeout
	}
	for name, list := range map[string][]string{"users": f.users, "groups": f.groups, "clients": f.clients} {
		if cmd.Flags().Changed(name) {
			body[name] = allOr(list)
		}
	}
	for name, list := range map[string][]string{"entities": f.entities, "relationships": f.relationships} {
		if !cmd.Flags().Changed(name) {
			continue
		}
		if body[name], err = idsOr(name, list); err != nil {
			return nil, err
		}
	}
	return json.Marshal(body)
}

func isAll(list []string) bool { return len(list) == 1 && list[0] == "all" }

func allOr(list []string) any {
	if isAll(list) {
		return "all"
	}
	if list == nil {
		return []string{}
	}
	return list
}

func idsOr(name string, list []string) (any, error) {
	if isAll(list) {
		return "all", nil
	}
	ids := make([]int64, 0, len(list))
	for _, text := range list {
		id, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			return nil, usagef("write all, or ids such as 414,415", "--%s: %s is not an id", name, quote(text))
		}
		ids = append(ids, id)
	}
	return ids, nil
}
