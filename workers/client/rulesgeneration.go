package client

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
)

// Generation posts any number of rules in chunks that take effect together: until
// Commit, nobody sees any of them, and the poster's older rules stay in force.
// Commit then replaces all older rules of the poster in one step. A generation
// that is never committed is dropped by the gateway. It holds one chunk in memory,
// and must not be used by two goroutines at once.
type Generation struct {
	r       *Rules
	id      string
	b       *batch
	chunks  int
	count   int
	failure error
}

// NewGeneration begins a generation under a new id; it makes no call. Starting to
// post one drops what was staged of the poster's earlier ones.
func (r *Rules) NewGeneration() (*Generation, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return nil, fmt.Errorf("client: make a generation's id: %w", err)
	}
	return &Generation{r: r, id: id.String(), b: newBatch(DeleteAllForUser, id.String())}, nil
}

// ID is the generation's id, a UUIDv7.
func (g *Generation) ID() string { return g.id }

// Len is how many rules have been added.
func (g *Generation) Len() int { return g.count }

// Add takes rules and posts a chunk whenever one is full. After an error the
// generation can only be given up: its later calls return the same error.
func (g *Generation) Add(ctx context.Context, rules ...AccessRule) error {
	for i := range rules {
		if g.failure != nil {
			return g.failure
		}
		if err := g.add(ctx, &rules[i]); err != nil {
			g.failure = err
			return err
		}
	}
	return g.failure
}

func (g *Generation) add(ctx context.Context, a *AccessRule) error {
	text, err := encode(a)
	if err != nil {
		return err
	}
	if g.b.names[a.Name] {
		return fmt.Errorf("client: the rule %q is there twice", a.Name)
	}
	full := g.b.rules == g.r.c.MaxRules || g.b.size()+len(text)+1 > g.r.c.MaxBytes
	if full && g.b.rules > 0 {
		if err := g.flush(ctx); err != nil {
			return err
		}
	}
	g.b.append(a.Name, text)
	g.count++
	return nil
}

// flush posts what is there, also when that is nothing. A repeated chunk is
// harmless: it holds the same rules under the same names.
func (g *Generation) flush(ctx context.Context) error {
	if err := g.r.send(ctx, g.r.posts, g.b.body(), (&Counts{}).read); err != nil {
		return err
	}
	g.chunks++
	g.b.reset()
	return nil
}

// Counts is how many rules a commit created, ignored and deleted, as the gateway
// tells. Names are counted while they are read: a commit may name a million.
type Counts struct{ Created, Ignored, Deleted int }

// Commit posts the rest and puts the generation in force in place of all older
// rules of the poster. A generation without any rule takes them all away.
func (g *Generation) Commit(ctx context.Context) (Counts, error) {
	if g.failure != nil {
		return Counts{}, fmt.Errorf("client: the generation has failed before: %w", g.failure)
	}
	counts, err := g.commit(ctx)
	if err != nil {
		g.failure = err
		return Counts{}, err
	}
	g.failure = errors.New("client: the generation is committed already")
	return counts, nil
}

func (g *Generation) commit(ctx context.Context) (Counts, error) {
	// The gateway knows a generation by its chunks, so an empty one needs one too.
	if g.b.rules > 0 || g.chunks == 0 {
		if err := g.flush(ctx); err != nil {
			return Counts{}, err
		}
	}
	body, err := json.Marshal(map[string]string{"generation": g.id})
	if err != nil {
		return Counts{}, fmt.Errorf("client: encode the commit: %w", err)
	}
	var counts Counts
	err = g.r.send(ctx, g.r.posts+":commit", body, counts.read)
	return counts, err
}

// read counts the names of an answer without keeping them.
func (c *Counts) read(in io.Reader) error {
	*c = Counts{}
	d := json.NewDecoder(in)
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return fmt.Errorf("the answer is no JSON object: %w", cmp.Or(err, errNoObject))
	}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return err
		}
		into := map[json.Token]*int{"created": &c.Created, "ignored": &c.Ignored, "deleted": &c.Deleted}[key]
		if err := countList(d, into); err != nil {
			return err
		}
	}
	_, err := d.Token()
	return err
}

var errNoObject = errors.New("it begins otherwise")

// countList counts a list's values; anything else, and lists that nobody asked
// for, are read over.
func countList(d *json.Decoder, into *int) error {
	var one json.RawMessage
	if into == nil {
		return d.Decode(&one)
	}
	t, err := d.Token()
	if err != nil || t == nil {
		return err // null lists nothing
	}
	if t != json.Delim('[') {
		return errors.New("created, ignored and deleted must be lists")
	}
	for ; d.More(); *into++ {
		if err := d.Decode(&one); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

// Final reports whether a gateway's refusal holds for the rest of the run: its
// attempt has ended (run_ended), or a newer generation has begun
// (generation_superseded). Starting anew is then for whoever started the run.
func Final(err error) bool {
	return fault.Is(err, "run_ended") || fault.Is(err, "generation_superseded")
}
