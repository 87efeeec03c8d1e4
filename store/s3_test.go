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

func TestS3(t *testing.T) {
	for _, prefix := range []string{"", "deep/prefix"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) storetest.Subject {
				server := storetest.StartS3(t)
				full := func(key string) string { return strings.TrimPrefix(prefix+"/"+key, "/") }
				return storetest.Subject{
					Store: openS3(t, server, server.Endpoint, func(o *store.S3Options) { o.Prefix = prefix }),
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

// What the bucket answers to PUTs, and what becomes of it. The requests that are let through go to a real server.
func TestS3Answers(t *testing.T) {
	const errorBody = `<?xml version="1.0"?><Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>`
	s3Error := func(status int, code string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) {
			w.Header().Set("Content-Type", "application/xml")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", code)
		}
	}
	tests := []struct {
		name   string
		answer func(http.ResponseWriter)
		times  int // then the real server answers; 0 is always
		kind   store.Kind
		puts   int
		hint   string
	}{
		{"503 twice", s3Error(503, "SlowDown"), 2, "", 3, ""},
		{"503 always", s3Error(503, "SlowDown"), 0, store.Unavailable, 5, ""},
		{"200 with an error body", func(w http.ResponseWriter) { fmt.Fprint(w, errorBody) }, 0, store.Unavailable, 5, ""},
		{"200 with an error body once", func(w http.ResponseWriter) { fmt.Fprint(w, errorBody) }, 1, "", 2, ""},
		{"200 with nothing", func(w http.ResponseWriter) {}, 0, store.Unavailable, 5, ""},
		{"another MD5", func(w http.ResponseWriter) { w.Header().Set("ETag", `"00000000000000000000000000000000"`) }, 0, store.Unavailable, 5, ""},
		{"ETag of a multipart object", func(w http.ResponseWriter) { w.Header().Set("ETag", `"00000000000000000000000000000000-1"`) }, 0, "", 1, ""},
		{"KMS: an ETag like an MD5", func(w http.ResponseWriter) {
			w.Header().Set("ETag", `"00000000000000000000000000000000"`)
			w.Header().Set("X-Amz-Server-Side-Encryption", "aws:kms")
		}, 0, "", 1, ""},
		{"connection cut", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }, 1, "", 2, ""},
		{"no such bucket", s3Error(404, "NoSuchBucket"), 0, store.Denied, 1, "create the bucket"},
		{"access denied", s3Error(403, "AccessDenied"), 0, store.Denied, 1, "s3:PutObject"},
		{"clock", s3Error(403, "RequestTimeTooSkewed"), 0, store.Denied, 1, "clock"},
		{"redirect", s3Error(301, "PermanentRedirect"), 0, store.Denied, 1, "--s3-region"},
		{"too large", s3Error(400, "EntityTooLarge"), 0, store.Rejected, 1, ""},
	}
	server := storetest.StartS3(t)
	for i, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var puts atomic.Int64
			endpoint := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodPut {
					return false
				}
				if n := puts.Add(1); test.times > 0 && n > int64(test.times) {
					return false
				}
				_, _ = io.Copy(io.Discard, r.Body)
				test.answer(w)
				return true
			})
			key := fmt.Sprintf("%d/1", i)
			err := openS3(t, server, endpoint, nil).Put(t.Context(), storetest.Object(key, "picture"))
			e, _ := errors.AsType[*store.Error](err)
			if test.kind == "" {
				if err != nil {
					t.Fatal(err)
				}
			} else if e == nil || e.Kind != test.kind || !strings.Contains(e.Hint, test.hint) {
				t.Errorf("error %v, want kind %s and a hint with %q: %+v", err, test.kind, test.hint, e)
			}
			if got := int(puts.Load()); got != test.puts {
				t.Errorf("%d PUTs, want %d", got, test.puts)
			}
			if got, want := slices.Contains(server.Names(t), key), test.times > 0; got != want {
				t.Errorf("object there: %t, want %t", got, want)
			}
		})
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
}
