package e2e_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/worker"
)

// switchAirflow names the virtual environment that tools/setup/airflow.sh makes.
const switchAirflow = "MUSTER_TEST_AIRFLOW"

// airflowHome returns the environment's directory.
func airflowHome(t *testing.T) string {
	t.Helper()
	home := os.Getenv(switchAirflow)
	if testing.Short() || home == "" {
		t.Skip("a long test: set " + switchAirflow + " to what tools/setup/airflow.sh prints")
	}
	return home
}

func providerDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join("..", "..", "workers", "examples", "airflow"))
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// The provider's own unit tests, under the Airflow that it is for.
func TestAirflowProviderUnits(t *testing.T) {
	home := airflowHome(t)
	cmd := exec.CommandContext(t.Context(), filepath.Join(home, "bin", "python"), "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests")
	cmd.Dir = providerDir(t)
	state := t.TempDir()
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + state, "AIRFLOW_HOME=" + state, "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestAirflow has a real Airflow carry out tasks of the provider against a real
// gateway. One Airflow serves all cases.
func TestAirflow(t *testing.T) {
	home := airflowHome(t)
	f := newFleet(t)
	a := startAirflow(t, home, f)
	for _, c := range []struct {
		name string
		test func(*testing.T, *fleet, *airflow)
	}{
		{"provider", testProvider}, {"success", testSuccess}, {"failure", testFailure}, {"retry", testRetry},
		{"double start", testDoubleStart}, {"expired token", testExpiredToken}, {"gateway restart", testGatewayRestart},
		{"timeout", testTimeout}, {"killed", testKilled},
	} {
		if !t.Run(c.name, func(t *testing.T) { c.test(t, f, a) }) {
			t.Logf("the gateway said:\n%s\nAirflow warned:\n%s", tail(f.log.String()), a.warnings())
		}
	}
	a.stop(t)
	a.holdsNoSecret(t, f)
}

func tail(text string) string { return text[max(0, len(text)-8000):] }

// Airflow knows the package, its connection type, and reads every DAG, also the one
// that is shown to users.
func testProvider(t *testing.T, _ *fleet, a *airflow) {
	if text := a.get(t, "/api/v2/providers?limit=200"); !strings.Contains(text, `"muster-airflow"`) {
		t.Errorf("providers: %s", text)
	}
	if text := a.get(t, "/ui/connections/hook_meta"); !strings.Contains(text, `"Client secret"`) {
		t.Errorf("connection types: %s", text)
	}
	if text := a.get(t, "/api/v2/importErrors"); !strings.Contains(text, `"total_entries":0`) {
		t.Errorf("import errors: %s", text)
	}
	a.get(t, "/api/v2/dags/access_rules")
}

func testSuccess(t *testing.T, f *fleet, a *airflow) {
	f.worker.will(func(ctx context.Context, tr *worker.Transformation) error {
		tr.Message = "1 rule from 3 rows"
		_, err := tr.Rules.Post(ctx, client.DeleteAllForUser, client.AccessRule{
			Name: "airflow-1", Users: tr.Users, Entities: []client.EntityGrant{{ID: 414}},
		})
		return err
	})
	for _, dag := range []string{"plain", "deferred"} {
		step := f.step(t, dag+"-succeeds", 0)
		task := a.start(t, dag, step)
		task.wait(t, "success")
		log := task.log(t, 1)
		for _, want := range []string{"[muster] ", "attempt 1 succeeded: 1 rule from 3 rows", "has succeeded: 1 rule from 3 rows"} {
			if !strings.Contains(log, want) {
				t.Errorf("%s: %q is not in the task's log:\n%s", dag, want, log)
			}
		}
		runs := f.runs(t, step)
		if len(runs) != 1 || runs[0].State != "succeeded" || runs[0].StartedBy != "service-account-airflow" {
			t.Errorf("%s: runs %+v", dag, runs)
		}
		if got := task.result(t); !strings.Contains(got, runs[0].ID) || !strings.Contains(got, "created") {
			t.Errorf("%s: XCom %s", dag, got)
		}
	}
}

func testFailure(t *testing.T, f *fleet, a *airflow) {
	f.worker.will(func(context.Context, *worker.Transformation) error {
		return errors.New("the source answered: table who_may_see is gone")
	})
	for _, dag := range []string{"plain", "deferred"} {
		task := a.start(t, dag, f.step(t, dag+"-fails", 0))
		task.wait(t, "failed")
		log := task.log(t, 1)
		if !strings.Contains(log, "is failed after 1 attempt(s): transform_failed: the source answered: table who_may_see is gone") {
			t.Errorf("%s: the worker's message is not in the task's log:\n%s", dag, log)
		}
	}
}

// A retry of a task whose run has failed starts another run.
func testRetry(t *testing.T, f *fleet, a *airflow) {
	step := f.step(t, "retried", 0)
	f.worker.will(func(context.Context, *worker.Transformation) error {
		f.worker.will(func(context.Context, *worker.Transformation) error { return nil })
		return errors.New("not yet")
	})
	task := a.start(t, "retried", step)
	task.wait(t, "success")
	if runs := f.runs(t, step); len(runs) != 2 || runs[0].State != "succeeded" || runs[1].State != "failed" {
		t.Errorf("runs %+v", runs)
	}
	if log := task.log(t, 1); !strings.Contains(log, "not yet") {
		t.Errorf("the first try's log:\n%s", log)
	}
}

// An answer that is lost on its way makes the operator post again; that is one run.
func testDoubleStart(t *testing.T, f *fleet, a *airflow) {
	f.worker.will(func(context.Context, *worker.Transformation) error { return nil })
	step := f.step(t, "double", 0)
	before := f.starts.Load()
	f.lose.Store(true)
	task := a.start(t, "plain", step)
	task.wait(t, "success")
	if f.lose.Load() || f.starts.Load()-before != 2 {
		t.Errorf("%d starts were posted, want 2", f.starts.Load()-before)
	}
	if runs := f.runs(t, step); len(runs) != 1 {
		t.Errorf("runs %+v", runs)
	}
	if log := task.log(t, 1); !strings.Contains(log, "is tried again") {
		t.Errorf("the task's log does not tell of it:\n%s", log)
	}
}

// The run lasts until the task has got a second token, which is when its first one
// is about to end; the gateway takes no token that has ended.
func testExpiredToken(t *testing.T, f *fleet, a *airflow) {
	// Of a deferred task, the task and the trigger each get one to begin with.
	for dag, first := range map[string]int{"plain": 1, "deferred": 2} {
		before := len(f.grants())
		f.worker.will(func(ctx context.Context, _ *worker.Transformation) error {
			return f.until(ctx, func() bool { return len(f.grants()) > before+first })
		})
		a.start(t, dag, f.step(t, dag+"-expires", 0)).wait(t, "success")
	}
	if n := f.unauthorized.Load(); n != 0 {
		t.Errorf("%d requests were sent with a token that was good no more", n)
	}
}

// The gateway is killed while two runs are under way: the step that is to be tried
// again is, and its task never learns of it but in the log; the other's task fails.
func testGatewayRestart(t *testing.T, f *fleet, a *airflow) {
	called := make(chan struct{}, 4)
	f.worker.will(func(ctx context.Context, _ *worker.Transformation) error {
		called <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	})
	again, once := f.step(t, "again", 1), f.step(t, "once", 0)
	deferred, plain := a.start(t, "deferred", again), a.start(t, "plain", once)
	<-called
	<-called
	deferred.wait(t, "deferred")
	f.kill(t)
	f.worker.will(func(_ context.Context, tr *worker.Transformation) error { tr.Message = "taken up"; return nil })
	f.refused.Store(0)
	if err := f.until(t.Context(), func() bool { return f.refused.Load() > 0 }); err != nil {
		t.Fatal(err)
	}
	f.serve(t)
	plain.wait(t, "failed")
	if log := plain.log(t, 1); !strings.Contains(log, "is tried again") || !strings.Contains(log, "is interrupted after 1 attempt(s)") {
		t.Errorf("the log of the task of a run that is not tried again:\n%s", log)
	}
	deferred.wait(t, "success")
	if log := deferred.log(t, 1); !strings.Contains(log, "attempt 1 was interrupted") || !strings.Contains(log, "has succeeded: taken up") {
		t.Errorf("the log of the task of a run that is tried again:\n%s", log)
	}
	if runs := f.runs(t, again); len(runs) != 1 || len(runs[0].Attempts) != 2 {
		t.Errorf("runs %+v", runs)
	}
}

// forever is a transformation that only ends when it is told to.
func forever(ctx context.Context, _ *worker.Transformation) error {
	<-ctx.Done()
	return ctx.Err()
}

func testTimeout(t *testing.T, f *fleet, a *airflow) {
	f.worker.will(forever)
	var tasks []*task
	for _, dag := range []string{"late", "late_deferred"} {
		tasks = append(tasks, a.start(t, dag, f.step(t, dag, 0)))
	}
	for i, step := range []string{"late", "late_deferred"} {
		tasks[i].wait(t, "failed")
		if deferred := i == 1; deferred && !tasks[i].resumed(t) {
			// Nobody cancels a run whose task Airflow itself has given up.
			t.Logf("Airflow failed a deferred task before the operator could go on; once more. Its log:\n%s\nAirflow warned:\n%s",
				tasks[i].log(t, 1), a.warnings())
			f.call(t, http.MethodPost, transformations+"/"+step+"/runs/"+f.runs(t, step)[0].ID+":cancel", "", nil)
			step = f.step(t, step+"-again", 0)
			tasks[i] = a.start(t, "late_deferred", step)
			tasks[i].wait(t, "failed")
		}
		f.cancelled(t, step)
		if log := tasks[i].log(t, 1); !strings.Contains(log, "Cancelling run") {
			t.Errorf("%s: the task's log:\n%s", step, log)
		}
	}
}

// A user marks a task as failed, while it runs and while it is deferred.
func testKilled(t *testing.T, f *fleet, a *airflow) {
	f.worker.will(forever)
	for dag, state := range map[string]string{"plain": "running", "deferred": "deferred"} {
		step := f.step(t, dag+"-killed", 0)
		task := a.start(t, dag, step)
		task.wait(t, state)
		// Whoever waits for the run has it in hand when it asks.
		f.polls.Store(0)
		if err := f.until(t.Context(), func() bool { return f.polls.Load() > 0 }); err != nil {
			t.Fatal(err)
		}
		a.call(t, http.MethodPatch, task.path(), `{"new_state":"failed"}`)
		f.cancelled(t, step)
	}
}

// The DAG in the how-to is the one that Airflow reads in TestAirflow.
func TestAirflowHowTo(t *testing.T) {
	dag, err := os.ReadFile(filepath.Join(providerDir(t), "dags", "access_rules.py"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "how-to", "airflow.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, code, _ := strings.Cut(string(dag), "from __future__ import annotations\n\n")
	if code == "" || !strings.Contains(string(page), "```python\n"+code+"```\n") {
		t.Errorf("docs/how-to/airflow.md does not show\n%s", code)
	}
}
