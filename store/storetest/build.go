package storetest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/lockedfile"
)

// programs builds the programs of the module in servers/, once for each version of it on this machine, and gives the folder
// where they are. The first build takes a minute or two.
var programs = sync.OnceValues(func() (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/snapshot-mirror/snapshot-mirror").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	module := filepath.Join(strings.TrimSpace(string(root)), "store", "storetest", "servers")
	sums, err := os.ReadFile(filepath.Join(module, "go.sum"))
	if err != nil {
		return "", err
	}
	goVersion, err := exec.Command("go", "env", "GOVERSION", "GOARCH").Output()
	if err != nil {
		return "", err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	folder := filepath.Join(cache, "snapshot-mirror-test", fmt.Sprintf("%.12x", sha256.Sum256(append(sums, goVersion...))))
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return "", err
	}
	// Test binaries of several packages run at once.
	unlock, err := lockedfile.MutexAt(filepath.Join(folder, "lock")).Lock()
	if err != nil {
		return "", err
	}
	defer unlock()
	done := filepath.Join(folder, "done")
	if _, err := os.Stat(done); err == nil {
		return folder, nil
	}
	build := exec.Command("go", "build", "-o", folder+string(filepath.Separator), "tool")
	build.Dir = module
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-mod=readonly -buildvcs=false", "GOWORK=off")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the tests' servers: %w\n%s", err, out)
	}
	return folder, os.WriteFile(done, nil, 0o644)
})

// Program gives the path of versitygw, s5cmd, nats-server or vegeta, which is built where it is not there yet.
func Program(t testing.TB, name string) string {
	t.Helper()
	folder, err := programs()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, name)
}
