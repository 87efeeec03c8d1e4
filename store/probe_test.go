package store_test

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// What a probe finds in a good bucket, and what it makes of buckets that are lacking. Rows tell what differs from the good one.
func TestS3Probe(t *testing.T) {
	server := storetest.StartS3(t)
	good := []store.Finding{
		{Name: "transport", OK: true, Value: "plain HTTP"},
		{Name: "addressing", OK: true, Value: "path: HOST/pictures"},
		{Name: "list", OK: true, Value: "allowed"},
		{Name: "look", OK: true, Value: "allowed: there is an earlier probe"},
		{Name: "put", OK: true, Value: "allowed"},
		{Name: "etag", OK: true, Value: "the MD5, which each put compares"},
		{Name: "metadata", OK: true, Value: "kept"},
		{Name: "conditional put", OK: true, Value: "honoured"},
		{Name: "content md5", OK: true, Value: "honoured"},
		{Name: "crc32c", OK: true, Value: "honoured"},
		{Name: "clock", OK: true, Value: "the service's agrees with ours, within a second"},
	}
	refused := func(w http.ResponseWriter, status int, code string) bool {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>m</Message></Error>", code)
		return true
	}
	// took is a service that looks at nothing, and whose ETag is no MD5.
	took := func(w http.ResponseWriter) bool { w.Header().Set("ETag", `"some-id"`); return true }
	tests := []struct {
		name   string
		answer func(http.ResponseWriter, *http.Request) bool
		found  map[string]store.Finding // in place of the good one's
		ends   string                   // the finding that is the last
		hint   string                   // in one of the findings that differ
	}{
		{name: "good", answer: func(http.ResponseWriter, *http.Request) bool { return false }},
		{name: "no permission to list", ends: "list", hint: "s3:ListBucket", answer: func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodGet && refused(w, 403, "AccessDenied")
		}, found: map[string]store.Finding{"list": {Value: "AccessDenied (403): m"}}},
		{name: "no permission to put", ends: "put", hint: "s3:PutObject", answer: func(w http.ResponseWriter, r *http.Request) bool {
			return r.Method == http.MethodPut && refused(w, 403, "AccessDenied")
		}, found: map[string]store.Finding{"put": {Value: "AccessDenied (403): m"}}},
		{name: "conditional puts are not known", hint: "the last one stays", answer: func(w http.ResponseWriter, r *http.Request) bool {
			return r.Header.Get("If-None-Match") != "" && refused(w, 501, "NotImplemented")
		}, found: map[string]store.Finding{"conditional put": {OK: true, Value: "not known to the service"}}},
		{name: "whatever is put is taken", hint: "is not noticed", answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodPut && r.Header.Get("If-None-Match") == "" && r.Header.Get("x-amz-checksum-crc32c") == "" {
				server.Forward(&etagWriter{ResponseWriter: w}, r)
				return true
			}
			return r.Method == http.MethodPut && took(w)
		}, found: map[string]store.Finding{
			"etag": {OK: true, Value: "not the MD5"}, "conditional put": {OK: true, Value: "ignored"}, "crc32c": {OK: true, Value: "ignored"},
			"content md5": {OK: true, Value: "ignored"},
		}},
		{name: "metadata is lost", hint: "fetched anew each time", answer: func(w http.ResponseWriter, r *http.Request) bool {
			if r.Method == http.MethodHead {
				server.Forward(&headWriter{w, func(h http.Header) { h.Del("x-amz-meta-source-url") }}, r)
			}
			return r.Method == http.MethodHead
		}, found: map[string]store.Finding{"metadata": {Value: "changed"}}},
		{name: "another clock", hint: "set this machine's clock", answer: func(w http.ResponseWriter, r *http.Request) bool {
			server.Forward(&headWriter{w, func(h http.Header) { h.Set("Date", "Thu, 01 Jan 1970 00:00:00 GMT") }}, r)
			return true
		}, found: map[string]store.Finding{"clock": {Value: "the service's is behind ours"}}},
		{name: "another bucket", ends: "list", hint: "create the bucket", answer: func(w http.ResponseWriter, r *http.Request) bool {
			return refused(w, 404, "NoSuchBucket")
		}, found: map[string]store.Finding{"list": {Value: "NoSuchBucket (404): m"}}},
	}
	if _, err := openS3(t, server, server.Endpoint, nil).Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			proxy := server.Proxy(t, test.answer)
			got, err := openS3(t, server, proxy, nil).Probe(t.Context())
			if e, ok := errors.AsType[*store.Error](err); ok != (test.ends != "") || ok && e.Kind != store.Denied {
				t.Errorf("error %v, but the last is to be %q", err, test.ends)
			}
			want, hints := slices.Clone(good), ""
			for i := range want {
				if other, ok := test.found[want[i].Name]; ok {
					other.Name = want[i].Name
					want[i] = other
					if i < len(got) {
						hints += got[i].Hint + "\n"
					}
				}
				want[i].Value = strings.ReplaceAll(want[i].Value, "HOST", strings.TrimPrefix(proxy, "http://"))
				if want[i].Name == test.ends {
					want = want[:i+1]
					break
				}
			}
			for i := range got {
				if strings.HasSuffix(got[i].Value, " behind ours") {
					got[i].Value = "the service's is behind ours"
				}
			}
			if diff := cmp.Diff(want, got, cmpopts.IgnoreFields(store.Finding{}, "Hint")); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			if !strings.Contains(hints, test.hint) {
				t.Errorf("hints %q, want %q", hints, test.hint)
			}
		})
	}
	if got := server.Names(t); !slices.Equal(got, []string{store.ProbeKey}) {
		t.Errorf("in the bucket: %q, want the probe alone", got)
	}
}

// headWriter changes an answer's headers before they are sent.
type headWriter struct {
	http.ResponseWriter
	change func(http.Header)
}

func (w *headWriter) WriteHeader(status int) {
	w.change(w.Header())
	w.ResponseWriter.WriteHeader(status)
}

// etagWriter makes a success of every answer, with an ETag that says nothing.
type etagWriter struct{ http.ResponseWriter }

func (w *etagWriter) WriteHeader(int) {
	w.Header().Set("ETag", `"some-id"`)
	w.ResponseWriter.WriteHeader(http.StatusOK)
}

func TestDirProbe(t *testing.T) {
	root := t.TempDir()
	d := openDir(t, root)
	for range 2 {
		got, err := d.Probe(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		want := []store.Finding{
			{Name: "list", OK: true, Value: "allowed"}, {Name: "put", OK: true, Value: "allowed, synced to the disk"},
			{Name: "names", OK: true, Value: "upper and lower case differ"},
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("findings (-want +got):\n%s", diff)
		}
	}
	if left := append(listDir(t, root), listDir(t, filepath.Join(root, ".snapshot-mirror", "tmp"))...); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
	if err := os.RemoveAll(root); err != nil {
		t.Fatal(err)
	}
	got, err := d.Probe(t.Context())
	if _, ok := errors.AsType[*store.Error](err); !ok || len(got) == 0 || got[len(got)-1].OK {
		t.Errorf("%+v, %v; want a finding that the directory is gone", got, err)
	}
}
