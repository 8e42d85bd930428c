package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestBodies(t *testing.T) {
	for _, n := range []int{1, 2, 1_000} {
		body := requestBody(n)
		var got struct {
			Parameters struct{ Type string }
			Data       []struct {
				ElementID  string `json:"elementId"`
				Labels     []string
				Properties map[string]any
			}
		}
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatal(err)
		}
		if got.Parameters.Type != "nodes" || len(got.Data) != n {
			t.Errorf("%d nodes of type %q, want %d", len(got.Data), got.Parameters.Type, n)
		}
		if len(got.Data[0].Properties) != 11 || got.Data[0].ElementID == "" || len(got.Data[0].Labels) == 0 {
			t.Errorf("a node is not as described: %+v", got.Data[0])
		}
		if want := n*nodeSize - 1 + len(requestHead) + len(requestTail); len(body) != want {
			t.Errorf("%d bytes, want %d", len(body), want)
		}
	}
	for _, i := range []int{0, 9, 99_999, 9_999_999} {
		if got := len(node(i)); got != nodeSize-1 {
			t.Errorf("node %d has %d bytes, want %d", i, got, nodeSize-1)
		}
	}
}

func TestAnswers(t *testing.T) {
	const n = 1_000
	plainAnswer, other := answerBody(n, 2, false), answerBody(n, 2, true)
	var compact bytes.Buffer
	if err := json.Compact(&compact, other); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(compact.Bytes(), plainAnswer) {
		t.Error("the reformatted answer says something else")
	}
	if bytes.Equal(other, plainAnswer) {
		t.Error("the reformatted answer is not reformatted")
	}
	if share := float64(len(plainAnswer)) / float64(len(requestBody(n))); share < 0.85 || share > 0.95 {
		t.Errorf("the answer is %.2f of the request, want about 0.9", share)
	}
	if bytes.Equal(answerBody(n, 0, false), answerBody(n, 1, false)) {
		t.Error("two workers hide the same")
	}
	if err := checkMerged(answerBody(n, 0, false), n, 1); err != nil {
		t.Error(err)
	}
}

func TestCheckMergedFindsFaults(t *testing.T) {
	const n = 100
	good := answerBody(n, 0, false)
	for name, bad := range map[string][]byte{
		"another worker's": answerBody(n, 1, false),
		"all":              append(append([]byte(answerHead), requestBody(n)[len(requestHead):len(requestBody(n))-2]...), answerTail...),
		"none":             []byte(`{"result":{"nodes":[]}}`),
		"one byte":         bytes.Replace(good, []byte("Graz"), []byte("Gras"), 1),
		"reformatted":      answerBody(n, 0, true),
		"no JSON":          good[:len(good)-1],
	} {
		if err := checkMerged(bad, n, 1); err == nil {
			t.Errorf("%s: taken for the merged answer", name)
		}
	}
}
