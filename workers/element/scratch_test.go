package element

import (
	"bytes"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

func TestScratch(t *testing.T) {
	if os.Getenv("SCRATCH") == "" {
		t.Skip()
	}
	body := sampleBody(1000)
	fs := map[string]func(){
		"fast": func() { r, _ := ParseRequest(body, Options{}); r.Release() },
		"nodedup": func() { r := requests.Get().(*Request); r.reset(body, Options{}); r.document(body); r.Release() },
		"skip": func() { var s nameScanner; s.value(body, 0, 0) },
		"jsontext": func() { jsontext.NewDecoder(bytes.NewBuffer(body)).ReadValue() },
	}
	min := map[string]time.Duration{}
	for range 1500 {
		for k, f := range fs {
			t0 := time.Now()
			f()
			d := time.Since(t0)
			if m, ok := min[k]; !ok || d < m {
				min[k] = d
			}
		}
	}
	for k, d := range min {
		fmt.Printf("%-10s %8s %6.0f MB/s\n", k, d, float64(len(body))/d.Seconds()/1e6)
	}
}
