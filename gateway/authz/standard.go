package authz

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/run"
)

// Standard is the table of resource types, one entry a type.
func Standard() []Type {
	return []Type{
		{
			Key: TypeWorker, Display: "Worker", Description: "One registered worker: to read, change, pause and probe it.",
			IDFormat: "the worker's uuid", Check: checkWorker, Wildcard: true, Blocks: workerBlocks, Missing: noWorker,
		},
		{
			Key: TypeWorkerType, Display: "Type of worker", Description: "Workers of one type: to register and to remove them.",
			IDFormat: "a type as workers answer it, such as ExternalGraphSecurity", Check: checkWord(".-_"), Wildcard: true,
			Blocks: workerTypeBlocks, Code: codeDenied, What: "registering and removing workers of this type",
		},
		{
			Key: TypeRuleStep, Display: "Rule transformation", Description: "One step: to start, read and cancel its runs.",
			IDFormat: "the step's name", Check: checkStep, Wildcard: true, Blocks: stepBlocks, Missing: noStep,
		},
		{
			Key: TypeGraphRules, Display: "Graph Access Rules", Description: "The graph model and all Graph Access Rules; write implies read.",
			IDFormat: "read or write", Check: oneOf(RulesRead, RulesWrite), Implied: map[string]string{RulesRead: RulesWrite},
			Blocks: fixedBlocks("graph_rules", "Graph Access Rules", Item{ResourceID: RulesRead, Name: "read"}, Item{ResourceID: RulesWrite, Name: "write"}),
			Code:   codeDenied, What: "work on Graph Access Rules",
		},
		{
			Key: TypeConnector, Display: "Connector", Description: "One source of extracts: to synchronise it.",
			IDFormat: "the source's name", Check: checkWord("-_"), Wildcard: true,
			Blocks: grantedBlocks(TypeConnector, whole), Missing: missing("connector"),
		},
		{
			Key: TypeDataset, Display: "Dataset", Description: "One table of a source: to read it.",
			IDFormat: "source.table", Check: checkDataset, Wildcard: true,
			Blocks: datasetBlocks, Missing: missing("dataset"),
		},
		{
			Key: TypeExplain, Display: "Explanations", Description: "Learning what a filter hid and why, and what another one would see.",
			IDFormat: "filter", Check: oneOf(ExplainFilter),
			Blocks: fixedBlocks("explain", "Explanations", Item{ResourceID: ExplainFilter, Name: "filter"}),
			Code:   codeExplainDenied, What: "an explained answer",
		},
		{
			Key: TypeMarketplacePlugin, Display: "Marketplace plugin", Description: "One plugin of a marketplace. Muster keeps these grants and serves no plugins.",
			IDFormat: "slug/plugin", Check: checkPlugin, Blocks: pluginBlocks, Missing: missing("plugin"),
		},
	}
}

const (
	// maxWord and maxTable bound ids, in bytes.
	maxWord  = 200
	maxTable = 255
)

func checkWorker(id string) (string, error) {
	if canonicalUUID(id) {
		return id, nil // as it comes from everywhere but people's hands, and without a copy
	}
	w, err := registry.ParseWorkerID(id)
	return string(w), err
}

// canonicalUUID reports whether an id is a uuid as registry.ParseWorkerID writes it.
func canonicalUUID(id string) bool {
	if len(id) != 36 {
		return false
	}
	zero := true
	for i := range len(id) {
		c := id[i]
		switch {
		case i == 8 || i == 13 || i == 18 || i == 23:
			if c != '-' {
				return false
			}
		case c >= '0' && c <= '9' || c >= 'a' && c <= 'f':
			zero = zero && c == '0'
		default:
			return false
		}
	}
	return !zero
}

func checkStep(id string) (string, error) { return id, run.CheckName(id) }

// checkWord takes letters and digits of ASCII, and inside of it the characters of
// extra.
func checkWord(extra string) func(string) (string, error) {
	return func(id string) (string, error) {
		switch {
		case id == "":
			return "", errors.New("is empty")
		case len(id) > maxWord:
			return "", fmt.Errorf("is longer than %d characters", maxWord)
		}
		for i, r := range id {
			plain := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
			if !plain && (i == 0 || !strings.ContainsRune(extra, r)) {
				return "", fmt.Errorf("may hold letters, digits and %q, and begins with a letter or digit", extra)
			}
		}
		return id, nil
	}
}

func oneOf(all ...string) func(string) (string, error) {
	return func(id string) (string, error) {
		if slices.Contains(all, id) {
			return id, nil
		}
		return "", errors.New("is not known")
	}
}

func checkDataset(id string) (string, error) {
	source, table, ok := strings.Cut(id, ".")
	if !ok {
		return "", errors.New("has no dot between source and table")
	}
	if _, err := checkWord("-_")(source); err != nil {
		return "", fmt.Errorf("has a source that %w", err)
	}
	switch {
	case table == "" || len(table) > maxTable:
		return "", fmt.Errorf("has a table of %d bytes; 1 to %d are taken", len(table), maxTable)
	case !utf8.ValidString(table) || strings.ContainsFunc(table, func(r rune) bool { return !unicode.IsGraphic(r) || unicode.IsSpace(r) }):
		return "", errors.New("has a table with white space or with characters that cannot be printed")
	}
	return id, nil
}

func checkPlugin(id string) (string, error) {
	slug, plugin, ok := strings.Cut(id, "/")
	if !ok {
		return "", errors.New("has no slash between slug and plugin")
	}
	for _, part := range []string{slug, plugin} {
		if _, err := checkWord("._-")(part); err != nil {
			return "", fmt.Errorf("has a part that %w", err)
		}
	}
	return id, nil
}

// CheckPlugin says what keeps a text from being the id of a marketplace's plugin.
func CheckPlugin(id string) error {
	_, err := checkPlugin(id)
	return err
}

// quoted is an id that a caller sent, fit for an error's text.
func quoted(id string) string {
	const most = 120
	if len(id) > most {
		id = strings.ToValidUTF8(id[:most], "") + "…"
	}
	return fmt.Sprintf("%q", id)
}

// The texts are those of the registry's own answers: what may not be seen and what
// is not there are told alike.
func noWorker(id string) error {
	return fault.New(fault.NotFound, codeNotFound, "no worker with the uuid %s is registered", quoted(id))
}

func noStep(id string) error {
	return fault.New(fault.NotFound, codeNotFound, "there is no rule transformation named %s", quoted(id))
}

func missing(what string) func(string) error {
	return func(id string) error {
		return fault.New(fault.NotFound, codeNotFound, "there is no %s %s", what, quoted(id))
	}
}
