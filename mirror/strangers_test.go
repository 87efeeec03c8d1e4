package mirror_test

import (
	"maps"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// The ids of an event are a stranger's text. Whatever they are, a bucket gets an object below its prefix under just that key, with
// our metadata and none besides, or nothing; and nothing that could break a line is told.
func TestStrangersIDs(t *testing.T) {
	const prefix = "vod/in"
	ids := []struct {
		id    string
		taken bool // as a file id; as a task id, whatever can be printed is
	}{
		{"14508071098244929440", true}, {"%2e%2e%2fx", true}, {"..%2f..%2fx", true}, {"视频", true}, {"cafe\u0301", true}, {"a b", true}, {" a ", true}, {"a.", true},
		{"<script>", true}, {`"; x-amz-acl=public-read`, true}, {"a:b=c&d", true}, {"$(id)", true}, {"%0d%0ax-amz-acl: public-read", true}, {"=?utf-8?q?x?=", true},
		{strings.Repeat("é", 125), true},
		{"..", false}, {".", false}, {"../x", false}, {"a/b", false}, {`a\b`, false}, {"a\r\nx-amz-acl: public-read", false}, {"\x1b[2J", false}, {"a\u202eb", false},
		{"a\u200bb", false}, {"a\x00", false}, {"\xff", false}, {".snapshot-mirror", false}, {".Snapshot-Mirror.", false}, {store.ProbeKey, false}, {strings.Repeat("x", 257), false},
	}
	server, origin := storetest.StartS3(t), storetest.Serve(t, send(jpeg, "ETag", "\"e\u00e9,x\""))
	bucket, err := store.NewS3(store.S3Options{
		Bucket: server.Bucket, Prefix: prefix, Endpoint: server.Endpoint, Region: "us-east-1", Concurrency: 1,
		Credentials: store.S3Credentials{AccessKeyID: server.AccessKey, SecretAccessKey: server.SecretKey},
	})
	if err != nil {
		t.Fatal(err)
	}
	folder := newHarness(t, nil)
	inBucket, err := mirror.New(bucket, mirror.Options{AllowPrivateSources: true})
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, test := range ids {
		for _, worker := range []*mirror.Worker{inBucket, folder.Worker} {
			s := mirror.Snapshot{FileID: test.id, TimeOffset: 5, Definition: 10, TaskID: "task " + test.id, URL: origin + "/é/1.jpg?sign=secret"}
			r, err := worker.Mirror(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			if taken := r.Outcome == mirror.Mirrored; taken != test.taken {
				t.Errorf("%.40q: %s (%v), taken should be %t", test.id, r.Outcome, r.Err, test.taken)
			}
			if r.Err != nil && (strings.ContainsAny(r.Err.Error(), "\r\n\x1b\x00\u202e") || strings.Contains(r.Err.Error(), "secret")) {
				t.Errorf("not fit for a log: %q", r.Err)
			}
		}
		if !test.taken {
			continue
		}
		key := prefix + "/" + test.id + "/5"
		want = append(want, key)
		info, err := server.Client(t).StatObject(t.Context(), server.Bucket, key, minio.StatObjectOptions{})
		if err != nil {
			t.Errorf("%.40q: %v", test.id, err)
			continue
		}
		names := slices.Sorted(maps.Keys(info.UserMetadata))
		if diff := cmp.Diff([]string{"Crc32c", "Definition", "File-Id", "Size", "Source-Etag", "Source-Url", "Task-Id", "Time-Offset"}, names); diff != "" {
			t.Errorf("%.40q: metadata (-want +got):\n%s", test.id, diff)
		}
		for name, want := range map[string]string{"File-Id": test.id, "Task-Id": "task " + test.id} {
			if got, err := url.PathUnescape(info.UserMetadata[name]); err != nil || got != want {
				t.Errorf("%s is %q, want %q", name, info.UserMetadata[name], want)
			}
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, server.Names(t)); diff != "" {
		t.Errorf("in the bucket (-want +got):\n%s", diff)
	}
	if got := len(folder.stored(t)); got != len(want) {
		t.Errorf("%d pictures in the directory, want %d", got, len(want))
	}
}
