package celfilter

import (
	"reflect"
	"strings"
	"sync"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/ext"
	"go.yaml.in/yaml/v3"
)

// interruptEvery is how many steps of a comprehension pass between two looks at
// the request's deadline.
const interruptEvery = 100

// Element is what expressions know as element.
type Element struct {
	ID         string         `cel:"id"`
	Labels     []string       `cel:"labels"`
	Type       string         `cel:"type"`
	StartID    string         `cel:"startId"`
	EndID      string         `cel:"endId"`
	StartLabel string         `cel:"startLabel"`
	EndLabel   string         `cel:"endLabel"`
	Properties map[string]any `cel:"properties"`
}

// Principal is what expressions know as principal.
type Principal struct {
	Username      string   `cel:"username"`
	Subject       string   `cel:"subject"`
	Email         string   `cel:"email"`
	EmailVerified bool     `cel:"emailVerified"`
	Groups        []string `cel:"groups"`
	Roles         []string `cel:"roles"`
	Client        string   `cel:"client"`
	Issuer        string   `cel:"issuer"`
}

// newEnv returns the environment of all expressions, which is made once and does
// not change. Fields of element and
// principal are checked when a policy is read; properties and claims when asked.
var newEnv = sync.OnceValues(func() (*cel.Env, error) {
	const depth, size = 100, 32 << 10
	return cel.NewEnv(
		ext.NativeTypes(reflect.TypeFor[Element](), reflect.TypeFor[Principal](), ext.ParseStructTags(true)),
		cel.Variable("element", cel.ObjectType("celfilter.Element")),
		cel.Variable("principal", cel.ObjectType("celfilter.Principal")),
		cel.Variable("kind", cel.StringType),
		cel.Variable("claims", cel.MapType(cel.StringType, cel.DynType)),
		cel.ParserRecursionLimit(depth), cel.ParserExpressionSizeLimit(size),
		cel.ASTValidators(cel.ValidateRegexLiterals(), cel.ValidateDurationLiterals(), cel.ValidateTimestampLiterals()),
		cel.CrossTypeNumericComparisons(true), cel.DefaultUTCTimeZone(true),
	)
})

// compile makes a program of a rule's expression; nil after a mistake.
func (r *policyReader) compile(n *yaml.Node) cel.Program {
	if n.Kind != yaml.ScalarNode || strings.TrimSpace(n.Value) == "" {
		r.bad(n, `when must be a CEL expression, such as '"Secret" in element.labels'`)
		return nil
	}
	ast, issues := r.env.Compile(n.Value)
	if issues.Err() != nil {
		for _, e := range issues.Errors() {
			line, column := r.place(n, e.Location.Line(), e.Location.Column())
			r.mistakes = append(r.mistakes, &Mistake{File: r.file, Line: line, Column: column, Text: e.Message})
		}
		return nil
	}
	if !ast.OutputType().IsExactType(cel.BoolType) && !ast.OutputType().IsExactType(cel.DynType) {
		r.bad(n, "when must be true or false; this expression is a %s", ast.OutputType())
		return nil
	}
	program, err := r.env.Program(ast, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(CostLimit),
		cel.InterruptCheckFrequency(interruptEvery))
	if err != nil {
		r.bad(n, "when cannot be run: %v", err)
		return nil
	}
	return program
}

// place turns a place in an expression (line from 1, column from 0) into one in
// the file. In quoted texts with escapes, and in folded ones, columns are near.
func (r *policyReader) place(n *yaml.Node, line, column int) (int, int) {
	line = max(line, 1)
	switch {
	case n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		// The text begins below its indicator; its first line sets the indentation.
		return n.Line + line, r.indent(n.Line+1) + column + 1
	case line > 1:
		at := n.Line + line - 1
		return at, r.indent(at) + column + 1
	case n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		return n.Line, n.Column + 1 + column
	default:
		return n.Line, n.Column + column
	}
}

func (r *policyReader) indent(line int) int {
	if line < 1 || line > len(r.lines) {
		return 0
	}
	text := r.lines[line-1]
	return len(text) - len(strings.TrimLeft(text, " "))
}
