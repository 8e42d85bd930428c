package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
)

// airflow is a scheduler, a triggerer, a DAG processor and an API server over a
// metadata database of their own.
type airflow struct {
	dir, url string
	env      []string
	home     string
	children map[string]*exec.Cmd
	log      *syncBuffer
	tasks    int
}

// startAirflow installs the provider beside Airflow, as a package like any other,
// and starts Airflow's processes.
func startAirflow(t *testing.T, home string, f *fleet) *airflow {
	t.Helper()
	a := &airflow{dir: t.TempDir(), home: home, children: map[string]*exec.Cmd{}, log: &syncBuffer{}}
	addr := freeAddr(t)
	a.url = "http://" + addr
	_, port, _ := strings.Cut(addr, ":")
	site, dags := filepath.Join(a.dir, "site"), filepath.Join(a.dir, "dags")
	a.env = []string{
		"PATH=" + filepath.Join(home, "bin") + ":" + os.Getenv("PATH"), "HOME=" + a.dir, "AIRFLOW_HOME=" + a.dir, "PYTHONPATH=" + site,
		"PYTHONDONTWRITEBYTECODE=1", "NO_COLOR=1", "NO_PROXY=127.0.0.1,localhost",
		"AIRFLOW__CORE__LOAD_EXAMPLES=False", "AIRFLOW__CORE__DAGS_FOLDER=" + dags, "AIRFLOW__CORE__PARALLELISM=4",
		"AIRFLOW__CORE__EXECUTOR=LocalExecutor", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS=True",
		"AIRFLOW__CORE__EXECUTION_API_SERVER_URL=" + a.url + "/execution/", "AIRFLOW__API__BASE_URL=" + a.url,
		"AIRFLOW__API__HOST=127.0.0.1", "AIRFLOW__API__PORT=" + port, "AIRFLOW__API__WORKERS=1", "AIRFLOW__API__SECRET_KEY=of-this-test",
		"AIRFLOW__API_AUTH__JWT_SECRET=a-secret-of-this-test-alone-that-is-long-enough-for-hs512-to-take-it-without-a-warning",
		"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN=sqlite:///" + filepath.Join(a.dir, "airflow.db"),
		"AIRFLOW__DAG_PROCESSOR__PARSING_PROCESSES=1", "AIRFLOW__LOGGING__BASE_LOG_FOLDER=" + filepath.Join(a.dir, "logs"),
		"AIRFLOW__SCHEDULER__TRIGGER_TIMEOUT_CHECK_INTERVAL=5",
	}
	a.run(t, "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-index", "--no-deps",
		"--no-build-isolation", "--no-compile", "--target", site, providerDir(t))
	a.copyDAGs(t, dags)
	a.run(t, "airflow", "db", "migrate")
	for _, name := range []string{"api-server", "dag-processor", "scheduler", "triggerer"} {
		a.child(t, name)
	}
	a.ready(t)
	a.connect(t, f)
	return a
}

func (a *airflow) copyDAGs(t *testing.T, dags string) {
	t.Helper()
	if err := os.Mkdir(dags, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, from := range []string{"testdata/airflow/cases.py", filepath.Join(providerDir(t), "dags", "access_rules.py")} {
		text, err := os.ReadFile(from)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dags, filepath.Base(from)), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (a *airflow) command(ctx context.Context, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(a.home, "bin", name), args...)
	cmd.Dir, cmd.Env = a.dir, a.env
	return cmd
}

func (a *airflow) run(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := a.command(t.Context(), name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
}

// child starts one of Airflow's processes. Each leads a group of its own, since all
// of them start others.
func (a *airflow) child(t *testing.T, name string) {
	t.Helper()
	// Ended by stop; a context would end only the first process of the group.
	cmd := a.command(context.WithoutCancel(t.Context()), "airflow", name)
	cmd.Stdout, cmd.Stderr = a.log, a.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = patience
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a.children[name] = cmd
	t.Cleanup(func() {
		if t.Failed() && a.children[name] != nil {
			t.Logf("%s ended with the test", name)
		}
		a.end(name)
	})
}

// end has a process finish, and after a while whatever is left of its group.
func (a *airflow) end(name string) {
	cmd := a.children[name]
	if cmd == nil {
		return
	}
	delete(a.children, name)
	// Whoever is gone already need not be told.
	_ = cmd.Process.Signal(syscall.SIGTERM)
	kill := time.AfterFunc(patience/2, func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	defer kill.Stop()
	_ = cmd.Wait() // Airflow's exit codes after SIGTERM mean nothing
	_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
}

func (a *airflow) stop(t *testing.T) {
	t.Helper()
	for _, name := range []string{"triggerer", "scheduler", "dag-processor", "api-server"} {
		a.end(name)
	}
	if t.Failed() {
		t.Logf("Airflow said at last:\n%s", tail(a.log.String()))
	}
}

// ready waits for every process and every DAG.
func (a *airflow) ready(t *testing.T) {
	t.Helper()
	var said string
	deadline := time.Now().Add(airflowPatience)
	for time.Now().Before(deadline) {
		health, err := a.try("/api/v2/monitor/health")
		dags, err2 := a.try("/api/v2/dags?exclude_stale=true")
		if said = fmt.Sprint(health, err, dags, err2); strings.Count(health, `"healthy"`) >= 4 && strings.Contains(dags, `"total_entries":6`) {
			return
		}
		time.Sleep(200 * time.Millisecond) // other processes are waited for; nothing tells when they are ready
	}
	t.Fatalf("Airflow is not ready: %s\n%s", said, a.log)
}

func (a *airflow) try(path string) (string, error) {
	resp, err := http.Get(a.url + path)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	var body json.RawMessage
	err = json.NewDecoder(resp.Body).Decode(&body)
	return string(body), err
}

func (a *airflow) call(t *testing.T, method, path, body string) string {
	t.Helper()
	return string(send(t, method, a.url+path, body, ""))
}

func (a *airflow) get(t *testing.T, path string) string {
	t.Helper()
	return a.call(t, http.MethodGet, path, "")
}

// connect stores the connection, with the client's secret, as an administrator does.
func (a *airflow) connect(t *testing.T, f *fleet) {
	t.Helper()
	extra, err := json.Marshal(map[string]string{"issuer": f.realm.URL + "/realms/" + devissuer.Realm})
	if err != nil {
		t.Fatal(err)
	}
	a.call(t, http.MethodPost, "/api/v2/connections", fmt.Sprintf(
		`{"connection_id":"muster_default","conn_type":"muster","host":%q,"login":%q,"password":%q,"extra":%q}`,
		f.front.URL, devissuer.ClientAirflow, devissuer.ClientAirflow, extra))
}

// task is the only task of a DAG's run.
type task struct {
	a         *airflow
	dag, name string
}

// start triggers a DAG for a step.
func (a *airflow) start(t *testing.T, dag, step string) *task {
	t.Helper()
	a.tasks++
	it := &task{a: a, dag: dag, name: "case_" + strconv.Itoa(a.tasks)}
	a.call(t, http.MethodPost, "/api/v2/dags/"+dag+"/dagRuns", fmt.Sprintf(
		`{"dag_run_id":%q,"logical_date":null,"conf":{"step":%q}}`, it.name, step))
	return it
}

func (k *task) path() string {
	return "/api/v2/dags/" + k.dag + "/dagRuns/" + k.name + "/taskInstances/run"
}

// wait waits for a state of the task; another end is a failure.
func (k *task) wait(t *testing.T, state string) {
	t.Helper()
	began := time.Now()
	var got struct {
		State *string
	}
	for time.Since(began) < airflowPatience {
		if err := json.Unmarshal([]byte(k.a.get(t, k.path())), &got); err != nil {
			t.Fatal(err)
		}
		if got.State != nil && *got.State == state {
			t.Logf("%s is %s after %s", k.dag, state, time.Since(began).Round(time.Second/10))
			return
		}
		if got.State != nil && (*got.State == "success" || *got.State == "failed") {
			break
		}
		time.Sleep(200 * time.Millisecond) // another process is waited for
	}
	last := "null"
	if got.State != nil {
		last = *got.State
	}
	t.Fatalf("%s is %s, want %s; its log:\n%s\nAirflow said at last:\n%s", k.dag, last, state, k.lines(1), tail(k.a.log.String()))
}

func (k *task) lines(try int) string {
	name := filepath.Join(k.a.dir, "logs", "dag_id="+k.dag, "run_id="+k.name, "task_id=run", fmt.Sprintf("attempt=%d.log", try))
	text, err := os.ReadFile(name)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// log is what a user reads in Airflow: the messages of the task's log.
func (k *task) log(t *testing.T, try int) string {
	t.Helper()
	var log strings.Builder
	for line := range strings.Lines(k.lines(try)) {
		var said struct{ Event string }
		if err := json.Unmarshal([]byte(line), &said); err != nil {
			log.WriteString(line)
			continue
		}
		log.WriteString(said.Event + "\n")
	}
	return log.String()
}

// resumed reports whether a task that was deferred has been carried out again: its
// DAG was read a second time.
func (k *task) resumed(t *testing.T) bool {
	t.Helper()
	return strings.Count(k.log(t, 1), "Worker startup parse complete") > 1
}

// warnings are the lines in which Airflow's processes have said that something went
// wrong.
func (a *airflow) warnings() string {
	var found strings.Builder
	for line := range strings.Lines(a.log.String()) {
		if strings.Contains(line, "[warning") || strings.Contains(line, "[error") || strings.Contains(line, "[critical") || strings.Contains(line, "Error: ") {
			found.WriteString(line)
		}
	}
	return tail(found.String())
}

// result is the task's XCom.
func (k *task) result(t *testing.T) string {
	t.Helper()
	return k.a.get(t, k.path()+"/xcomEntries/return_value")
}

// holdsNoSecret looks for tokens in everything that Airflow has written.
func (a *airflow) holdsNoSecret(t *testing.T, f *fleet) {
	t.Helper()
	tokens := f.grants()
	if len(tokens) == 0 {
		t.Error("Airflow has got no token")
	}
	look := func(name, text string) {
		for _, token := range tokens {
			// A token's last part is its signature: nobody else has it.
			if strings.Contains(text, token[strings.LastIndexByte(token, '.')+1:]) {
				t.Errorf("%s holds a token", name)
				return
			}
		}
	}
	look("the processes' output", a.log.String())
	files := 0
	err := filepath.WalkDir(a.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		files++
		look(path, string(text))
		return err
	})
	if err != nil || files < 10 {
		t.Errorf("%d files: %v", files, err)
	}
}
