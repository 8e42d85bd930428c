package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// The workload of the rules' bars: one principal with a thousand rules, and a
// hundred thousand nodes.
const (
	labelCount = 200
	ruleCount  = 1_000
	propCount  = 10
	// listed is how many of its entity's properties a rule lists.
	listed = 4
	// valueCount is how many values each property has; a condition meets one.
	valueCount = 20
	// companions is how many other labels a label is ever seen with, as graphs
	// have kinds of nodes and not every pair of labels there could be.
	companions = 8
)

// mask has a bit for each property.
type mask uint16

// grant is a rule of the workload. It shows the nodes of one label: those whose property when has the value
// is, or all when is is empty.
type grant struct {
	label string
	props mask
	when  int
	is    string
}

// node is a node taken apart: one or two labels, and a value for every property.
type node struct {
	labels []string
	values [propCount]string
}

// decision is what a principal may see of a node.
type decision struct {
	visible bool
	props   mask
}

func labelName(i int) string { return fmt.Sprintf("L%03d", i) }
func propName(i int) string  { return "p" + strconv.Itoa(i) }
func valueName(i int) string { return fmt.Sprintf("v%02d", i) }

// makeRules returns the same rules each time: label by label in turn, and every
// second one with a condition.
func makeRules(count int) []grant {
	r := rand.New(rand.NewPCG(1, 2))
	rules := make([]grant, count)
	for i := range rules {
		// The label's turn moves on each round, or the rules of one label would
		// all have a condition or none.
		rules[i] = grant{label: labelName(i % labelCount)}
		for _, p := range r.Perm(propCount)[:listed] {
			rules[i].props |= 1 << p
		}
		if (i/labelCount+i)%2 == 1 {
			rules[i].when, rules[i].is = r.IntN(propCount), valueName(r.IntN(valueCount))
		}
	}
	return rules
}

// makeNodes returns the same nodes each time. With anyPair a node's second label
// may be any; otherwise it is one of the first one's companions.
func makeNodes(count int, anyPair bool) []node {
	r := rand.New(rand.NewPCG(3, 4))
	nodes := make([]node, count)
	for i := range nodes {
		first := r.IntN(labelCount)
		nodes[i].labels = []string{labelName(first)}
		if r.IntN(2) == 1 {
			step := 1 + r.IntN(labelCount-1)
			if !anyPair {
				step = 1 + step%companions*7
			}
			nodes[i].labels = append(nodes[i].labels, labelName((first+step)%labelCount))
		}
		for p := range nodes[i].values {
			nodes[i].values[p] = valueName(r.IntN(valueCount))
		}
	}
	return nodes
}

// reference decides a node the long way: every rule is looked at. The engines'
// answers are compared with it before they are timed.
func reference(rules []grant, n *node) decision {
	var d decision
	for i := range rules {
		for _, label := range n.labels {
			if label == rules[i].label && (rules[i].is == "" || n.values[rules[i].when] == rules[i].is) {
				d.visible = true
				d.props |= rules[i].props
			}
		}
	}
	return d
}

// json writes a node as it stands in a filter request.
func (n *node) json(b []byte, i int) []byte {
	b = fmt.Appendf(b, `{"elementId":"4:1d78d5ba-072c-4cfa-96c7-dda7da1c5620:%d","labels":[`, i)
	for j, label := range n.labels {
		if j > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendQuote(b, label)
	}
	b = append(b, `],"properties":{`...)
	for p, value := range n.values {
		if p > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendQuote(b, propName(p)), ':')
		b = strconv.AppendQuote(b, value)
	}
	return append(b, `}}`...)
}

// requestBody is the filter request of the nodes.
func requestBody(nodes []node) []byte {
	b := []byte(`{"parameters":{"type":"nodes"},"data":[`)
	for i := range nodes {
		if i > 0 {
			b = append(b, ',')
		}
		b = nodes[i].json(b, i)
	}
	return append(b, `]}`...)
}
