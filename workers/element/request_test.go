package element

import "testing"

func TestSmoke(t *testing.T) {
	body := []byte(`{"parameters":{"type":"nodes"},"data":[{"elementId":"a","labels":["x"],"properties":{"k":1,"l" : "v" }}, {"elementId":"\u0062","labels":[],"properties":{}},{"elementId":"a","labels":["x"],"properties":{"k":1,"l" : "v" }}]}`)
	for _, rd := range []Reader{Fast, Reference} {
		r, err := ParseRequest(body, Options{Reader: rd})
		if err != nil {
			t.Fatal(err)
		}
		t.Log(r.Nodes.Len(), r.Nodes.Places(), string(r.Nodes.ID(1)), string(r.Nodes.Raw(1)))
		v := r.Nodes.View(0)
		t.Logf("%q", v.Property(1))
		r.Release()
	}
	_, err := ParseRequest([]byte(`{"parameters":{"type":"graph"},"data":{"nodes":[{"elementId":"a","labels":["x"],"properties":{"k":01}}],"relationships":[]}}`), Options{})
	t.Log(err)
}
