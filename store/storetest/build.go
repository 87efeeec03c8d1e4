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

// The modules whose tools are the programs. Both build once for each version of them on this machine.
var (
	servers   = sync.OnceValues(func() (string, error) { return build("servers") })
	providers = sync.OnceValues(func() (string, error) { return build("providers") })
)

// Program gives the path of versitygw, s5cmd, nats-server or vegeta, which is built where it is not there yet: in a minute or two.
func Program(t testing.TB, name string) string { return program(t, servers, name) }

func program(t testing.TB, module func() (string, error), name string) string {
	t.Helper()
	folder, err := module()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, name)
}

// build builds the tools of a module below this package, and gives the folder where they are.
func build(name string) (string, error) {
	module, err := moduleFolder(name)
	if err != nil {
		return "", err
	}
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
}

// moduleFolder is where a module below this package lies.
func moduleFolder(name string) (string, error) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/snapshot-mirror/snapshot-mirror").Output()
	if err != nil {
		return "", fmt.Errorf("finding the module: %w", err)
	}
	return filepath.Join(strings.TrimSpace(string(root)), "store", "storetest", name), nil
}

// version is that of a module that a program is made of.
func version(t testing.TB, of, path string) string {
	t.Helper()
	folder, err := moduleFolder(of)
	if err != nil {
		t.Fatal(err)
	}
	list := exec.Command("go", "list", "-m", "-f", "{{.Version}}", path)
	list.Dir, list.Env = folder, append(os.Environ(), "GOFLAGS=-mod=readonly", "GOWORK=off")
	out, err := list.Output()
	if err != nil {
		t.Fatalf("finding the version of %s: %v", path, err)
	}
	return strings.TrimSpace(string(out))
}
