package store_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

func openS3(t *testing.T, s *storetest.Server, endpoint string, change func(*store.S3Options)) *store.S3 {
	t.Helper()
	o := store.S3Options{
		Bucket: s.Bucket, Endpoint: endpoint, Region: "us-east-1", Addressing: "auto", Concurrency: 8,
		Credentials: store.S3Credentials{AccessKeyID: s.AccessKey, SecretAccessKey: s.SecretKey},
		AppName:     "snapshot-mirror", AppVersion: "test",
	}
	if change != nil {
		change(&o)
	}
	s3, err := store.NewS3(o)
	if err != nil {
		t.Fatal(err)
	}
	return s3
}

// warm puts as many objects as the store learns from, and removes them.
func warm(t *testing.T, server *storetest.Server, s3 *store.S3, full func(string) string) {
	t.Helper()
	for range 20 {
		if err := s3.Put(t.Context(), storetest.Object("warm", "up")); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Client(t).RemoveObject(t.Context(), server.Bucket, full("warm"), minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestS3(t *testing.T) {
	for _, test := range []struct {
		prefix string
		warm   bool // after the first objects, from which the store learns
	}{{"", false}, {"deep/prefix", false}, {"deep/prefix", true}} {
		t.Run(fmt.Sprintf("prefix %s, warm %t", test.prefix, test.warm), func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Subject {
				server, prefix := storetest.StartS3(t), test.prefix
				full := func(key string) string { return strings.TrimPrefix(prefix+"/"+key, "/") }
				s3 := openS3(t, server, server.Endpoint, func(o *store.S3Options) { o.Prefix = prefix })
				if test.warm {
					warm(t, server, s3, full)
				}
				return storetest.Subject{
					Store: s3,
					Read: func(t *testing.T, key string) []byte {
						object, err := server.Client(t).GetObject(t.Context(), server.Bucket, full(key), minio.GetObjectOptions{})
						if err != nil {
							t.Fatal(err)
						}
						body, err := io.ReadAll(object)
						if err != nil {
							t.Fatal(err)
						}
						return body
					},
					List: func(t *testing.T) []string {
						names := server.Names(t)
						for i := range names {
							names[i] = strings.TrimPrefix(strings.TrimPrefix(names[i], prefix), "/")
						}
						slices.Sort(names)
						return names
					},
				}
			})
		})
	}
}

func TestS3VerifiesMD5(t *testing.T) {
	server := storetest.StartS3(t)
	s3 := openS3(t, server, server.Endpoint, nil)
	o := storetest.Object("1/1", "picture")
	o.Body = []byte("pictura") // changed on the way, so to speak
	if err := s3.Put(t.Context(), o); err == nil {
		t.Error("no error for a body with another MD5")
	}
	if got := server.Names(t); len(got) != 0 {
		t.Errorf("stored %q", got)
	}
}

// Services differ in what they make of a conditional PUT.
func TestS3ConditionalAnswers(t *testing.T) {
	tests := []struct {
		name   string
		status int
		code   string
		times  int64
		puts   int64 // in all, with that of a second object
		fails  bool
	}{
		{"unknown to the service", http.StatusNotImplemented, "NotImplemented", 1, 3, false},
		{"another request under way", http.StatusConflict, "ConditionalRequestConflict", 2, 4, false},
		{"another request under way for ever", http.StatusConflict, "ConditionalRequestConflict", 1 << 30, 5, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := storetest.StartS3(t)
			var puts atomic.Int64
			proxy := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return false
				}
				n := puts.Add(1)
				if r.Header.Get("If-None-Match") == "" || n > test.times {
					return false
				}
				w.WriteHeader(test.status)
				fmt.Fprintf(w, "<Error><Code>%s</Code></Error>", test.code)
				return true
			})
			s3 := openS3(t, server, proxy, nil)
			for i := range 2 {
				o := storetest.Object(fmt.Sprint("1/", i), "picture")
				o.IfAbsent = true
				err := s3.Put(t.Context(), o)
				if e, ok := errors.AsType[*store.Error](err); (err != nil) != test.fails || ok && e.Kind != store.Unavailable {
					t.Errorf("put: %v", err)
				}
				if test.fails {
					break
				}
			}
			if got := puts.Load(); got != test.puts {
				t.Errorf("%d PUTs, want %d", got, test.puts)
			}
		})
	}
}

func TestS3Check(t *testing.T) {
	server := storetest.StartS3(t)
	tests := []struct {
		name   string
		change func(*store.S3Options)
		kind   store.Kind
		hint   string
	}{
		{"all right", nil, "", ""},
		{"wrong secret", func(o *store.S3Options) { o.Credentials.SecretAccessKey = "wrong" }, store.Denied, "AWS_SECRET_ACCESS_KEY"},
		{"wrong key id", func(o *store.S3Options) { o.Credentials.AccessKeyID = "wrong" }, store.Denied, "AWS_ACCESS_KEY_ID"},
		{"no such bucket", func(o *store.S3Options) { o.Bucket = "nothing-here" }, store.Denied, "create the bucket"},
		{"nobody listens", func(o *store.S3Options) { o.Endpoint = "http://127.0.0.1:1" }, store.Unavailable, "--s3-endpoint"},
		{"https to an http port", func(o *store.S3Options) { o.Endpoint = strings.Replace(o.Endpoint, "http:", "https:", 1) }, store.Unavailable, "http or https"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := openS3(t, server, server.Endpoint, test.change).Check(t.Context())
			if test.kind == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			e, ok := errors.AsType[*store.Error](err)
			if !ok || e.Kind != test.kind || !strings.Contains(e.Hint, test.hint) {
				t.Errorf("got %v (%+v), want kind %s with a hint about %s", err, e, test.kind, test.hint)
			}
		})
	}
}

func TestS3Options(t *testing.T) {
	good := store.S3Options{Bucket: "pictures", Region: "us-east-1"}
	for _, endpoint := range []string{"localhost:9000", "ftp://host", "http://", "http://host/bucket", "http://user@host", "://", "http://host?x=1"} {
		o := good
		o.Endpoint = endpoint
		if _, err := store.NewS3(o); err == nil {
			t.Errorf("endpoint %q: no error", endpoint)
		}
	}
	for _, endpoint := range []string{"", "http://127.0.0.1:9000", "https://cos.ap-guangzhou.myqcloud.com/"} {
		o := good
		o.Endpoint = endpoint
		if _, err := store.NewS3(o); err != nil {
			t.Errorf("endpoint %q: %v", endpoint, err)
		}
	}
	for _, prefix := range []string{"/a", "a/", "a//b", "../a", "a\nb", `a\b`} {
		o := good
		o.Prefix = prefix
		if _, err := store.NewS3(o); err == nil {
			t.Errorf("prefix %q: no error", prefix)
		}
	}
}
