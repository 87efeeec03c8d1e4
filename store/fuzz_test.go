package store

import (
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"unicode"

	"github.com/minio/minio-go/v7"
)

// A key that is taken stays inside, is one name only, meets nothing of ours, and breaks no line.
func FuzzCheckKey(f *testing.F) {
	for _, key := range []string{"1/10000", "..", "a/../b", "a//b", "/a", "a/", "%2e%2e/x", "a\\b", ".snapshot-mirror/x", ".Snapshot-Mirror ./x", ".snapſhot-mirror/x", "\u202ex", "\xff", strings.Repeat("k", 1025)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		if CheckKey(key) != nil {
			return
		}
		if !filepath.IsLocal(key) || path.Clean(key) != key || len(key) > 1024 {
			t.Errorf("%q is taken", key)
		}
		if strings.ContainsFunc(key, func(r rune) bool {
			return unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || r == unicode.ReplacementChar && !strings.Contains(key, "\ufffd")
		}) {
			t.Errorf("%q would break a line", key)
		}
		first := strings.ToLower(strings.SplitN(key, "/", 2)[0])
		if strings.TrimRight(first, " .") == dotFolder || strings.TrimRight(first, " .") == ProbeKey {
			t.Errorf("%q is our own", key)
		}
	})
}

// Whatever key is put, nothing appears outside of its folder, and it can be found again.
func FuzzDirPut(f *testing.F) {
	for _, key := range []string{"1/10000", "../x", "%2e%2e/x", "link/x", ".snapshot-mirror/tmp/x", "a./b", "nul/con", strings.Repeat("m", 300)} {
		f.Add(key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		base := t.TempDir()
		d, err := OpenDir(filepath.Join(base, "root"), false)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = d.Close() }()
		if err := os.Symlink(base, filepath.Join(base, "root", "link")); err != nil {
			t.Fatal(err)
		}
		err = d.Put(t.Context(), Object{Key: key, Body: []byte("picture"), Metadata: map[string]string{"task-id": "t"}})
		if err == nil {
			info, err := d.Head(t.Context(), key)
			if err != nil || info.Size != 7 || info.Metadata["task-id"] != "t" {
				t.Errorf("%q is put, but: %+v, %v", key, info, err)
			}
		}
		entries, err := os.ReadDir(base)
		if err != nil || len(entries) != 1 {
			t.Errorf("%q: %v beside the folder, %v", key, entries, err)
		}
	})
}

// An endpoint that is taken is a scheme and a host, and makes a client.
func FuzzEndpoint(f *testing.F) {
	for _, endpoint := range []string{"", "http://127.0.0.1:9000", "https://cos.ap-guangzhou.myqcloud.com/", "http://[::1]:9000", "http://a b", "http://user@host", "http://host?x", "http://host:99999", "http://%zz", "//host"} {
		f.Add(endpoint)
	}
	f.Fuzz(func(t *testing.T, endpoint string) {
		u, err := s3Endpoint(S3Options{Endpoint: endpoint, Region: "us-east-1"})
		if err != nil {
			if strings.ContainsFunc(err.Error(), unicode.IsControl) {
				t.Errorf("%q: the error %q would break a line", endpoint, err)
			}
			return
		}
		if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || u.RawQuery != "" || strings.Trim(u.Path, "/") != "" {
			t.Errorf("%q is taken as %s", endpoint, u)
		}
		_, _ = NewS3(S3Options{Endpoint: endpoint, Region: "us-east-1", Bucket: "pictures"}) // must not panic
	})
}

// Whatever a service says, it is one line of a bounded length, and has a kind.
func FuzzS3Error(f *testing.F) {
	f.Add("SlowDown", "Reduce your request rate.", "eu-west-1", 503)
	f.Add("502 Bad Gateway", "<html>\r\n\x1b[31m</html>", "\x00", 502)
	f.Add("AccessDenied\n", strings.Repeat("\u202e", 400), strings.Repeat("r", 400), 403)
	s := &S3{options: S3Options{Bucket: "pictures"}, answers: &answers{}}
	f.Fuzz(func(t *testing.T, code, message, region string, status int) {
		err := s.fail(t.Context(), "putting", "1/1", minio.ErrorResponse{Code: code, Message: message, Region: region, StatusCode: status})
		e, ok := err.(*Error)
		if !ok || e.Kind != Denied && e.Kind != Unavailable && e.Kind != Rejected {
			t.Fatalf("%#v", err)
		}
		if text := e.Error() + e.Hint; len(text) > 900 || strings.ContainsFunc(text, notPrintable) {
			t.Errorf("not fit for a log: %q", text)
		}
	})
}
