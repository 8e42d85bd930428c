package e2e_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// prepared starts "muster dev", waits until it answers and knows everybody whom the
// how-tos speak of, and leaves the admin's token in the environment.
const prepared = `set -eu
muster dev --issuer "$ISSUER" --data-dir data >dev.log 2>&1 &
trap 'kill %1 2>/dev/null || true; wait' EXIT
until muster dev token --issuer "$ISSUER" admin >admin.token 2>/dev/null; do sleep 0.1; done
export MUSTER_TOKEN=$(cat admin.token)
until muster admin user list >/dev/null 2>&1; do sleep 0.1; done
for name in alice bob graph-service; do
  MUSTER_TOKEN=$(muster dev token --issuer "$ISSUER" $name) muster rule list >/dev/null 2>&1 || true
done
for name in admin alice bob service-account-graph-service; do
  until muster admin user list --username $name -o json | grep -q '"id"'; do sleep 0.1; done
done
`

// The how-tos about access and tables do what they say, command for command.
func TestAccessHowTos(t *testing.T) {
	for _, name := range []string{"first-admin.md", "map-keycloak-roles.md", "service-account.md", "tokens-for-ci.md", "tables.md"} {
		t.Run(name, func(t *testing.T) { runHowTo(t, filepath.Join("..", "..", "docs", "how-to", name)) })
	}
}

func runHowTo(t *testing.T, file string) {
	dir, addr := t.TempDir(), map[string]string{}
	for _, what := range []string{"http", "grpc", "ops", "issuer"} {
		addr[what] = freeAddr(t)
	}
	all := blocks(t, file)
	var script strings.Builder
	script.WriteString(prepared)
	here := strings.NewReplacer("muster dev token", `muster dev token --issuer "$ISSUER"`)
	for i, b := range all {
		fmt.Fprintf(&script, "echo '=== %d'\n%s", i, here.Replace(b.shell))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 4*patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "bash", "-m", "-c", script.String())
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = patience / 3
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + bin + string(os.PathListSeparator) + os.Getenv("PATH"), "HOME=" + dir, "ISSUER=" + addr["issuer"],
		"MUSTER_HTTP_ADDR=" + addr["http"], "MUSTER_GRPC_ADDR=" + addr["grpc"], "MUSTER_OPS_ADDR=" + addr["ops"],
		"MUSTER_URL=http://" + addr["http"], "MUSTER_DRAIN_GRACE=0s", "MUSTER_SEED_ADMIN_EMAIL=admin@example.org",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "dev.log")) // what there is of it
		t.Fatalf("%v\n%s\n%s", err, out, log)
	}
	parts := strings.Split(string(out), "=== ")
	if len(parts) != len(all)+1 {
		t.Fatalf("%d parts, want %d:\n%s", len(parts)-1, len(all), out)
	}
	for i, b := range all {
		_, got, _ := strings.Cut(parts[i+1], "\n")
		if b.want != "" && !says(got, b.want) {
			t.Errorf("%s:%d printed\n%s\nwant\n%s", filepath.Base(file), b.line, got, b.want)
		}
	}
}
