package storetest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
)

// EnvKills says how often the crash tests kill; see Kills.
const EnvKills = "MUSTER_TEST_CRASH_KILLS"

// envPlace makes a test binary the child of a crash test, and says where its
// store is.
const envPlace = "MUSTER_TEST_CRASH_PLACE"

// Kills is how often a crash test kills: what MUSTER_TEST_CRASH_KILLS says, else
// ten times.
func Kills(t testing.TB) int {
	const usual = 10
	text := os.Getenv(EnvKills)
	if text == "" {
		return usual
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number above 0", EnvKills, text)
	}
	return n
}

// ChildMain does not return in a process that a crash test has started: it
// scribbles until it is killed. TestMain calls it first.
func ChildMain(open OpenAt) {
	place := os.Getenv(envPlace)
	if place == "" {
		return
	}
	if how := os.Getenv(envAccess); how != "" {
		fmt.Fprintln(os.Stderr, "crash test child:", scribbleAccess(place, how, open))
		os.Exit(1)
	}
	fmt.Fprintln(os.Stderr, "crash test child:", scribble(place, open))
	os.Exit(1)
}

// scribble ends only when something fails, and says what. It reports each acknowledged change as a line of JSON on standard output,
// after one that says that the store is open.
func scribble(place string, open OpenAt) error {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := open(ctx, place, log)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	s, err := registry.Open(ctx, store, registry.Options{Logger: log, Inspector: Scribbler()})
	if err != nil {
		return err
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(Ack{}); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	for {
		action, resource, err := Scribble(ctx, s, r)
		if err != nil {
			return fmt.Errorf("%s: %w", action, err)
		}
		if err := out.Encode(Ack{Revision: s.Snapshot().Revision, Action: action, Resource: resource}); err != nil {
			return err
		}
	}
}

// kill starts a child over the store at place, with more in its environment, kills
// it after a random time within one, and returns what it had acknowledged. One in
// five is killed while it is opening.
func kill(t testing.TB, b Backend, place string, within time.Duration, env ...string) []Ack {
	t.Helper()
	child := exec.Command(os.Args[0])
	child.Env = append(append(os.Environ(), envPlace+"="+place), env...)
	child.Stderr = &prefixed{t: t}
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	wait := time.Duration(rand.Int64N(int64(within)))
	lines := bufio.NewReader(out)
	if rand.IntN(5) > 0 {
		if _, err := lines.ReadBytes('\n'); err != nil {
			t.Fatalf("the child did not open the store: %v (%v)", err, child.Wait())
		}
	}
	timer := time.AfterFunc(wait, func() {
		if err := child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
	})
	defer timer.Stop()
	acks := readAcks(t, lines)
	if err := child.Wait(); err == nil || child.ProcessState.ExitCode() != -1 {
		t.Fatalf("the child ended by itself: %v", err)
	}
	if b.Outlived != nil {
		b.Outlived(t, place)
	}
	return acks
}

// readAcks reads until the child is dead. Its last line may be torn.
func readAcks(t testing.TB, lines *bufio.Reader) []Ack {
	t.Helper()
	var acks []Ack
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return acks
		}
		if err != nil {
			t.Fatal(err)
		}
		var a Ack
		if err := json.Unmarshal(line, &a); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if a.Action != "" {
			acks = append(acks, a)
		}
	}
}

// prefixed writes a child's complaints to the test's output.
type prefixed struct{ t testing.TB }

func (p *prefixed) Write(data []byte) (int, error) {
	p.t.Logf("child: %s", data)
	return len(data), nil
}

func crashTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"kill -9":                  testKill,
		"kill -9 of who may what":  testKillAccess,
		"kill -9 of a large group": testKillTown,
	}
}

// testKill kills a writing process again and again over the same data.
func testKill(t *testing.T, b Backend) {
	place := b.Place(t)
	var ledger Ledger
	kills, acknowledged := Kills(t), 0
	for n := range kills {
		acks := kill(t, b, place, 250*time.Millisecond)
		acknowledged += len(acks)
		store, err := b.OpenAt(t.Context(), place, logger(t))
		if err != nil {
			t.Fatalf("kill %d: the store does not open: %v", n, err)
		}
		ledger.Check(t, store, acks)
		s, err := registry.Open(t.Context(), store, registry.Options{Logger: logger(t), Inspector: Scribbler()})
		if err != nil {
			t.Fatalf("kill %d: %v", n, err)
		}
		for range 3 {
			if action, _, err := Scribble(t.Context(), s, rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))); err != nil {
				t.Fatalf("kill %d: %s: %v", n, action, err)
			}
		}
		if n%10 == 9 || n == kills-1 {
			Exercise(t, s)
		}
		ledger.Check(t, store, nil)
		if err := s.Close(t.Context()); err != nil {
			t.Fatalf("kill %d: close: %v", n, err)
		}
	}
	t.Logf("%d kills, %d acknowledged changes, none lost, none halved", kills, acknowledged)
	if acknowledged == 0 {
		t.Error("the child never got as far as a change")
	}
}
