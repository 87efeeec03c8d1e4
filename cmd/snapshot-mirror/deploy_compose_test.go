package main

import (
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// What the containers of the compose file run, in their order, without containers: the same programs, with addresses and folders
// of this machine. A picture ends up in the bucket, and a bucket that is there already is no failure.
func TestComposeCommands(t *testing.T) {
	var file struct {
		Services map[string]struct {
			Command     []string
			Environment map[string]string
		}
	}
	readYAML(t, filepath.Join(deployFolder, "compose.yaml"), &file)
	origin, folder, address := newOrigin(t), t.TempDir(), storetest.FreeAddress(t)
	here := strings.NewReplacer("http://s3:7070", "http://"+address, "/s5cmd", storetest.Program(t, "s5cmd"))
	secrets := map[string]string{"S3_ACCESS_KEY": "access", "S3_SECRET_KEY": "secretsecret", "CALLBACK_SECRET": "callback"}
	env := func(service string) (env []string) {
		for name, value := range file.Services[service].Environment {
			value = os.Expand(value, func(name string) string {
				name, _, _ = strings.Cut(name, ":?")
				return secrets[name]
			})
			env = append(env, name+"="+here.Replace(value))
		}
		return env
	}

	// The sidecar folder is for file systems without attributes.
	args := slices.Clone(file.Services["s3"].Command)
	for from, to := range map[string][]string{":7070": {address}, "/data": {"--sidecar", t.TempDir(), folder}} {
		i := slices.Index(args, from)
		if i < 0 {
			t.Fatalf("no %s in %v", from, args)
		}
		args = slices.Replace(args, i, i+1, to...)
	}
	gateway := exec.Command(storetest.Program(t, "versitygw"), args...)
	gateway.Env, gateway.SysProcAttr = env("s3"), storetest.DieWithParent()
	if err := gateway.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = gateway.Process.Kill(); _ = gateway.Wait() })
	waitFor(t, "the health of s3", 20*time.Second, func() bool {
		resp, err := http.Get("http://" + address + "/health")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})

	for range 2 {
		bucket := exec.Command("/bin/sh", "-c", here.Replace(file.Services["bucket"].Command[0]))
		bucket.Env = env("bucket")
		if out, err := bucket.CombinedOutput(); err != nil {
			t.Fatalf("making the bucket: %v\n%s", err, out)
		}
	}

	service := file.Services["snapshot-mirror"]
	s := startServe(t, env("snapshot-mirror"), slices.DeleteFunc(slices.Clone(service.Command[1:]), func(arg string) bool {
		return strings.Contains(arg, "listen=") || strings.HasPrefix(arg, "--data-dir=") // startServe has its own
	})...)
	s.callback += "/" + secrets["CALLBACK_SECRET"]
	if got := s.post(origin.event("task", "1", 10, "/1.jpg")); got != 200 {
		t.Fatalf("status %d", got)
	}
	waitFor(t, "the picture", 20*time.Second, func() bool {
		_, err := os.Stat(filepath.Join(folder, "snapshots", "1", "0"))
		return err == nil
	})
}
