package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// VirtualDomain is the server's name where a bucket is addressed as a host below it. No resolver knows it: a test sends such
// requests through [Server.Proxy] as an HTTP proxy.
const VirtualDomain = "s3.test"

// Server is a real S3 server on loopback with one empty bucket, on a folder of the test.
type Server struct {
	Endpoint             string // http://host:port
	Bucket               string
	AccessKey, SecretKey string
	// Folder is where the server keeps its buckets: a folder each.
	Folder string
}

// StartS3 starts the server, and ends it with the test.
func StartS3(t testing.TB) *Server {
	t.Helper()
	s := newServer(t)
	sidecar := filepath.Join(filepath.Dir(s.Folder), "sidecar")
	if err := os.Mkdir(sidecar, 0o755); err != nil {
		t.Fatal(err)
	}
	// Without --keep-alive it closes the connection after every request; the sidecar serves file systems without attributes.
	s.start(t, exec.Command(Program(t, "versitygw"), "--access", s.AccessKey, "--secret", s.SecretKey, "--port", s.address(), "--keep-alive", "--quiet",
		"--virtual-domain", VirtualDomain, "posix", "--sidecar", sidecar, s.Folder))
	return s
}

// newServer chooses a free address and an empty folder.
func newServer(t testing.TB) *Server {
	t.Helper()
	s := &Server{
		Endpoint: "http://" + FreeAddress(t), Bucket: "pictures", AccessKey: "testaccess", SecretKey: "testsecret0123456789", Folder: filepath.Join(t.TempDir(), "buckets"),
	}
	if err := os.Mkdir(s.Folder, 0o755); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *Server) address() string { return strings.TrimPrefix(s.Endpoint, "http://") }

// start runs the server until the test ends, and returns when it has its bucket.
func (s *Server) start(t testing.TB, server *exec.Cmd) {
	t.Helper()
	output := &bytes.Buffer{}
	server.Stdout, server.Stderr = output, output
	server.SysProcAttr = DieWithParent()
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { _ = server.Wait(); close(ended) }()
	t.Cleanup(func() { _ = server.Process.Kill(); <-ended })

	client := s.Client(t)
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		err := client.MakeBucket(ctx, s.Bucket, minio.MakeBucketOptions{})
		cancel()
		if err == nil {
			return
		}
		select {
		case <-ended:
			t.Fatalf("the S3 server ended:\n%s", output)
		default:
		}
		if time.Since(begin) > 60*time.Second {
			t.Fatalf("the S3 server did not come up: %v", err)
		}
	}
}

// FreeAddress gives an address of loopback that nobody listens on.
func FreeAddress(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Client is a plain client of the server, for looking at what is there.
func (s *Server) Client(t testing.TB) *minio.Client {
	t.Helper()
	c, err := minio.New(s.address(), &minio.Options{
		Creds: credentials.NewStaticV4(s.AccessKey, s.SecretKey, ""), Region: "us-east-1", MaxRetries: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Env is what the AWS conventions need to reach the server through an endpoint: its own, or a proxy's.
func (s *Server) Env(endpoint string) []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey, "AWS_REGION=us-east-1", "AWS_ENDPOINT_URL_S3=" + endpoint,
	}
}

// Names lists the keys in the bucket.
func (s *Server) Names(t testing.TB) []string {
	t.Helper()
	var names []string
	for o := range s.Client(t).ListObjectsIter(t.Context(), s.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		names = append(names, o.Key)
	}
	return names
}

// S5cmd runs a client that shares no code with ours, and gives what it prints.
func (s *Server) S5cmd(t testing.TB, args ...string) []byte {
	t.Helper()
	c := exec.Command(Program(t, "s5cmd"), append([]string{"--endpoint-url", s.Endpoint}, args...)...)
	c.Env = append(os.Environ(), s.Env(s.Endpoint)...)
	var complaint bytes.Buffer
	c.Stderr = &complaint
	out, err := c.Output()
	if err != nil {
		t.Fatalf("s5cmd %s: %v\n%s", strings.Join(args, " "), err, complaint.Bytes())
	}
	return out
}

// Proxy stands in front of the server on a socket of its own and gives its URL. Each request goes first to intercept, which
// answers it and says true, or leaves it to the server.
func (s *Server) Proxy(t testing.TB, intercept func(http.ResponseWriter, *http.Request) bool) string {
	t.Helper()
	return Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !intercept(w, r) {
			s.Forward(w, r)
		}
	}))
}

// Forward hands a request to the server as it is, and its answer to w.
func (s *Server) Forward(w http.ResponseWriter, r *http.Request) {
	forward := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(&url.URL{Scheme: "http", Host: s.address()})
		p.Out.Host = p.In.Host // it is signed
	}}
	forward.ServeHTTP(w, r)
}

// Get gives an object's bytes, or false where there is none.
func (s *Server) Get(t testing.TB, key string) ([]byte, bool) {
	t.Helper()
	o, err := s.Client(t).GetObject(t.Context(), s.Bucket, key, minio.GetObjectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = o.Close() }()
	body, err := io.ReadAll(o)
	if minio.ToErrorResponse(err).StatusCode == http.StatusNotFound {
		return nil, false
	}
	if err != nil {
		t.Fatal(err)
	}
	return body, true
}

// Serve serves a handler on a free port of loopback until the test ends, and gives its URL.
func Serve(t testing.TB, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return fmt.Sprintf("http://%s", l.Addr())
}
