package storetest

import (
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Provider is an S3 server that can be built and run here.
type Provider struct {
	Name, Page string
	module     string // where its program is built: servers or providers
	path       string // its module
	start      func(t testing.TB, s *Server)
	// Lacking are the suite's keys that it fails on, and Note says why; both empty where it takes, or clearly refuses, all of them.
	Lacking []string
	Note    string
}

// Providers are all that there are. The first is the one that all other tests use; the rest take minutes to build.
var Providers = []Provider{
	{Name: "versitygw", Page: "https://github.com/versity/versitygw", module: "servers", path: "github.com/versity/versitygw"},
	{Name: "MinIO", Page: "https://github.com/minio/minio", module: "providers", path: "github.com/minio/minio", start: startMinIO},
	{Name: "SeaweedFS", Page: "https://github.com/seaweedfs/seaweedfs", module: "providers", path: "github.com/seaweedfs/seaweedfs", start: startSeaweedFS},
	{Name: "rclone serve s3", Page: "https://github.com/rclone/rclone", module: "providers", path: "github.com/rclone/rclone", start: startRclone,
		Lacking: []string{decomposed, longName}, Note: ", but for names that differ in their Unicode form only, and names above 255 bytes"},
}

// Start runs it until the test ends.
func (p Provider) Start(t testing.TB) *Server {
	t.Helper()
	if p.start == nil {
		return StartS3(t)
	}
	s := newServer(t)
	p.start(t, s)
	return s
}

// Rclone gives the path of rclone, which is built where it is not there yet: in some minutes.
func Rclone(t testing.TB) string { return program(t, providers, "rclone") }

// Version is that of its module.
func (p Provider) Version(t testing.TB) string { return version(t, p.module, p.path) }

// KMSKey is the one key that MinIO knows here. Only MinIO encrypts.
const KMSKey = "test-key"

func startMinIO(t testing.TB, s *Server) {
	c := exec.Command(program(t, providers, "minio"), "server", "--quiet", "--address", s.address(), s.Folder)
	c.Env = append(os.Environ(), "HOME="+t.TempDir(), "MINIO_ROOT_USER="+s.AccessKey, "MINIO_ROOT_PASSWORD="+s.SecretKey, "MINIO_BROWSER=off", "MINIO_UPDATE=off",
		"MINIO_KMS_SECRET_KEY="+KMSKey+":"+base64.StdEncoding.EncodeToString(make([]byte, 32)))
	s.start(t, c)
}

func startRclone(t testing.TB, s *Server) {
	c := exec.Command(program(t, providers, "rclone"), "serve", "s3", "--addr", s.address(), "--auth-key", s.AccessKey+","+s.SecretKey, s.Folder)
	c.Env = append(os.Environ(), "HOME="+t.TempDir())
	s.start(t, c)
}

func startSeaweedFS(t testing.TB, s *Server) {
	t.Helper()
	users := filepath.Join(t.TempDir(), "s3.json")
	text := fmt.Sprintf(`{"identities":[{"name":"t","credentials":[{"accessKey":%q,"secretKey":%q}],"actions":["Admin","Read","Write","List"]}]}`, s.AccessKey, s.SecretKey)
	if err := os.WriteFile(users, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"server", "-dir=" + s.Folder, "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3", "-s3.config=" + users, "-master.volumeSizeLimitMB=64", "-s3.port=" + port(s.address())}
	for _, name := range []string{"master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port", "filer.port.grpc", "s3.port.grpc"} {
		args = append(args, "-"+name+"="+port(FreeAddress(t)))
	}
	c := exec.Command(program(t, providers, "weed"), args...)
	c.Env, c.Dir = append(os.Environ(), "HOME="+t.TempDir()), t.TempDir()
	s.start(t, c)
}

func port(address string) string {
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	return port
}
