package main

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// TestMain puts this test binary on the PATH as snapshot-mirror: the tests run the real main in processes of its own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"snapshot-mirror": main, "ceiling": ceiling})
}

// TestScripts runs the command line as users type it. A script's origin is at $ORIGIN, and `s3` starts a bucket server.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: filepath.Join("testdata", "script"),
		Setup: func(env *testscript.Env) error {
			env.Setenv("ORIGIN", newOrigin(env.T().(testing.TB)).URL)
			env.Values["t"] = env.T()
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"s3": func(ts *testscript.TestScript, _ bool, _ []string) {
				server := storetest.StartS3(ts.Value("t").(testing.TB))
				for _, pair := range server.Env(server.Endpoint) {
					name, value, _ := strings.Cut(pair, "=")
					ts.Setenv(name, value)
				}
				ts.Setenv("BUCKET", server.Bucket)
			},
			// expand FILE...: put the values of the script's variables into files.
			"expand": func(ts *testscript.TestScript, _ bool, args []string) {
				for _, name := range args {
					text := os.Expand(ts.ReadFile(name), ts.Getenv)
					ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o644))
				}
			},
		},
	})
}

// origin is an image origin on a real socket, which remembers what it was asked for. Every path holds a picture of its own,
// except that /missing/... is 404 and /html/... an error page with 200.
type origin struct {
	URL    string
	size   int
	mu     sync.Mutex
	gate   func(path string) // called before a picture is sent; may be nil
	gets   []string
	answer func(http.ResponseWriter, *http.Request) bool // answers instead, or says false; may be nil
}

func newOrigin(t testing.TB) *origin {
	o := &origin{size: 4_000}
	o.URL = storetest.Serve(t, o)
	return o
}

func (o *origin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	o.mu.Lock()
	o.gets = append(o.gets, r.URL.Path)
	gate, answer := o.gate, o.answer
	o.mu.Unlock()
	if answer != nil && answer(w, r) {
		return
	}
	if gate != nil {
		gate(r.URL.Path)
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/missing/"):
		http.NotFound(w, r)
		return
	case strings.HasPrefix(r.URL.Path, "/html/"):
		fmt.Fprint(w, "<html>a page</html>")
		return
	}
	body := o.picture(r.URL.Path)
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.Header().Set("ETag", fmt.Sprintf(`"%x"`, md5.Sum(body)))
	_, _ = w.Write(body)
}

func (o *origin) setGate(gate func(path string)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.gate = gate
}

func (o *origin) setAnswer(answer func(http.ResponseWriter, *http.Request) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.answer = answer
}

// asked gives the paths of all requests so far, and forgets them.
func (o *origin) asked() []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	gets := o.gets
	o.gets = nil
	return gets
}

// picture is what the origin has at a path: a PNG's or JPEG's beginning and end around noise that the path determines.
func (o *origin) picture(path string) []byte {
	var seed [32]byte
	sum := md5.Sum([]byte(path))
	copy(seed[:], sum[:])
	noise := make([]byte, o.size)
	_, _ = rand.NewChaCha8(seed).Read(noise)
	if strings.HasSuffix(path, ".png") {
		chunk := append([]byte("noIs"), noise...) // with its length before it and its CRC behind
		return bytes.Join([][]byte{[]byte("\x89PNG\r\n\x1a\n"), binary.BigEndian.AppendUint32(nil, uint32(len(noise))),
			binary.BigEndian.AppendUint32(chunk, crc32.ChecksumIEEE(chunk)), []byte("\x00\x00\x00\x00IEND\xae\x42\x60\x82")}, nil)
	}
	return bytes.Join([][]byte{{0xff, 0xd8, 0xff, 0xe0}, noise, {0xff, 0xd9}}, nil)
}

// event is one of VOD's events for pictures at the paths; the time offsets are 0, 1000, 2000, ...
func (o *origin) event(task, file string, definition int, paths ...string) string {
	items := make([]string, len(paths))
	for i, path := range paths {
		items[i] = fmt.Sprintf(`{"ErrCode":0,"TimeOffset":%d,"Url":"%s%s"}`, i*1000, o.URL, path)
	}
	return fmt.Sprintf(`{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"TaskId":%q,"FileId":%q,"Definition":%d,"SnapshotInfoSet":[%s]}}`,
		task, file, definition, strings.Join(items, ","))
}

// command prepares the program as a process of its own, with no settings but env.
func command(t testing.TB, env []string, args ...string) *exec.Cmd {
	t.Helper()
	program, err := exec.LookPath("snapshot-mirror")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(program, args...)
	c.Env = append([]string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH")}, env...)
	return c
}

// outcome is how a process ended.
type outcome struct {
	code           int
	stdout, stderr string
}

func runCommand(t testing.TB, c *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatal(err)
	}
	return outcome{c.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

func writeFile(t testing.TB, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "events.ndjson")
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}
