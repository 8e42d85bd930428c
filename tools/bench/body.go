package main

import (
	"fmt"
	"strings"
)

// nodeSize is the length of one node's JSON, the comma after it included.
const nodeSize = 285

// hiddenOneIn is the share of nodes that a fake worker hides: one in so many.
const hiddenOneIn = 10

// node returns the JSON of node i: eleven properties, some with letters outside
// ASCII and some with escapes, always nodeSize-1 bytes.
func node(i int) string {
	head := fmt.Sprintf(`{"elementId":"4:1d78d5ba-072c-4cfa-96c7-dda7da1c5620:%d","labels":["Asset"],"properties":{`+
		`"key":"A%07d","name":"Prüfstand %d","city":"Graz-Süd","path":"C:\\rigs\\%03d","quote":"6\" bolt",`+
		`"mass":%d.50,"count":%d,"on":true,"note":null,"tags":["α","b"],"pad":"`, 1_000_000+i, i, i%10, i%1000, i%100, i%10)
	const tail = `"}}`
	return head + strings.Repeat("x", nodeSize-1-len(head)-len(tail)) + tail
}

const (
	requestHead = `{"parameters":{"type":"nodes"},"data":[`
	requestTail = `]}`
	answerHead  = `{"result":{"nodes":[`
	answerTail  = `]}}`
)

// requestBody returns the filter request of nodes 0 to n-1.
func requestBody(n int) []byte {
	b := make([]byte, 0, n*nodeSize+len(requestHead)+len(requestTail))
	b = append(b, requestHead...)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, node(i)...)
	}
	return append(b, requestTail...)
}

// hides reports whether worker k hides node i. Each worker hides a share of its
// own, spread over the batch and independent of the other workers'.
func hides(k, i int) bool {
	x := uint64(i)*0x9e3779b97f4a7c15 + uint64(k+1)*0xd1b54a32d192ed03
	x ^= x >> 31
	x *= 0xbf58476d1ce4e5b9
	x ^= x >> 29
	return x%hiddenOneIn == 0
}

// visible reports whether none of the first w workers hides node i.
func visible(w, i int) bool {
	for k := range w {
		if hides(k, i) {
			return false
		}
	}
	return true
}

// answerBody returns what worker k answers to requestBody(n): the nodes that it
// shows, in order, byte by byte as they came, or, reformatted, with the white
// space that another JSON writer would have put in.
func answerBody(n, k int, reformat bool) []byte {
	b := make([]byte, 0, n*nodeSize+len(answerHead)+len(answerTail))
	b = append(b, answerHead...)
	first := true
	for i := range n {
		if hides(k, i) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, node(i)...)
	}
	b = append(b, answerTail...)
	if reformat {
		return spaced(b)
	}
	return b
}

// spaced returns the same JSON with a space after every comma and colon outside
// strings, as Python's json module writes it.
func spaced(in []byte) []byte {
	out := make([]byte, 0, len(in)+len(in)/8)
	inString, escaped := false, false
	for _, c := range in {
		out = append(out, c)
		switch {
		case escaped:
			escaped = false
		case inString && c == '\\':
			escaped = true
		case c == '"':
			inString = !inString
		case !inString && (c == ',' || c == ':'):
			out = append(out, ' ')
		}
	}
	return out
}
