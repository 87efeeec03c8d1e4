package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var verifyPictures = flag.Int("verify-pictures", 600, "among how many pictures TestVerify looks for those that are wrong; a multiple of 10")

// A removed, a truncated and two swapped objects are found among many, and repaired; nothing else is touched.
func TestVerify(t *testing.T) {
	origin, server := newOrigin(t), storetest.StartS3(t)
	events, paths := many(t, origin, *verifyPictures)
	report := filepath.Join(t.TempDir(), "verified.ndjson")
	bucket := filepath.Join(server.Folder, server.Bucket)
	on := func(name string, args ...string) outcome {
		args = append([]string{name, "--allow-private-sources", "--to", "s3://" + server.Bucket}, args...)
		return runCommand(t, command(t, server.Env(server.Endpoint), args...))
	}
	want := func(got outcome, code int, in ...string) {
		t.Helper()
		for _, part := range in {
			if !strings.Contains(strings.Join(strings.Fields(got.stdout), " "), part) {
				t.Errorf("no %q in:\n%s", part, got.stdout)
			}
		}
		if got.code != code {
			t.Errorf("exit code %d, want %d:\n%s%s", got.code, code, got.stdout, got.stderr)
		}
	}
	if got := on("backfill", events); got.code != exitOK {
		t.Fatalf("%+v", got)
	}
	want(on("verify", events), exitOK, "right "+strconv.Itoa(*verifyPictures)+" ", "wrong 0")

	const video = "5285890780000000000"
	if err := os.Remove(filepath.Join(bucket, video, "1000")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(bucket, video, "2000"), 1000); err != nil {
		t.Fatal(err)
	}
	for _, move := range [][2]string{{"3000", "aside"}, {"4000", "3000"}, {"aside", "4000"}} {
		from := minio.CopySrcOptions{Bucket: server.Bucket, Object: video + "/" + move[0]}
		if _, err := server.Client(t).CopyObject(t.Context(), minio.CopyDestOptions{Bucket: server.Bucket, Object: video + "/" + move[1]}, from); err != nil {
			t.Fatal(err)
		}
	}
	if err := server.Client(t).RemoveObject(t.Context(), server.Bucket, video+"/aside", minio.RemoveObjectOptions{}); err != nil {
		t.Fatal(err)
	}
	wrong := func(outcome string) map[string]string {
		return map[string]string{video + "/1000": "missing " + outcome, video + "/2000": "truncated " + outcome, video + "/3000": "swapped " + outcome, video + "/4000": "swapped " + outcome}
	}
	right := "right " + strconv.Itoa(*verifyPictures-4) + " "

	want(on("verify", "--report", report, events), exitFailed, right, "wrong 4", "missing 1", "truncated 1", "swapped 2")
	wantReport(t, report, wrong("wrong"))
	got := on("verify", "--all", "--json")
	if got.code != exitFailed || strings.Count(got.stdout, "\n") != *verifyPictures-1 || strings.Count(got.stdout, `"outcome":"wrong"`) != 3 {
		t.Errorf("by their own records: exit code %d, %d lines:\n%s", got.code, strings.Count(got.stdout, "\n"), got.stderr)
	}
	want(on("verify", "--prefix", video+"/"), exitFailed, "right 6 ", "wrong 3")

	origin.asked()
	want(on("verify", "--repair", "--report", report, events), exitOK, right, "wrong 4", "repaired 4")
	wantReport(t, report, wrong("mirrored"))
	if got := len(origin.asked()); got != 4 {
		t.Errorf("%d pictures fetched, want 4", got)
	}
	want(on("verify", "--read", "--source", events), exitOK, "right "+strconv.Itoa(*verifyPictures)+" ", "wrong 0")
	if got := checkFiles(t, origin, bucket, paths); got != *verifyPictures {
		t.Errorf("%d pictures in the end, want %d", got, *verifyPictures)
	}
}

// wantReport wants a report that has every picture, and these with something wrong.
func wantReport(t *testing.T, name string, want map[string]string) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got, n := map[string]string{}, 0
	for line := range strings.Lines(string(text)) {
		var r struct{ Key, Found, Outcome string }
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			t.Fatal(err)
		}
		if n++; r.Outcome != "right" {
			got[r.Key] = r.Found + " " + r.Outcome
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || n != *verifyPictures {
		t.Errorf("%d lines (-want +got):\n%s", n, diff)
	}
}

// Wrong use of verify is told before anything is done.
func TestVerifyWrongUse(t *testing.T) {
	server := storetest.StartS3(t)
	events := writeFile(t, newOrigin(t).event("task", "1", 10, "/1.jpg"))
	for _, test := range []wrongUse{
		{"nothing named", nil, nil, 2, "nothing to verify", "--help"},
		{"events and a prefix", nil, []string{"--prefix=1/", events}, 2, "exclude", "--help"},
		{"prefix and all", nil, []string{"--prefix=1/", "--all"}, 2, "exclude", "--help"},
		{"repair without events", nil, []string{"--all", "--repair"}, 2, "--repair wants events", "--help"},
		{"share without events", nil, []string{"--all", "--shard=0/2"}, 2, "--shard wants events", "--help"},
		{"prefix of no key", nil, []string{"--prefix=../"}, 2, `segment ".."`, "--help"},
		{"nothing there", nil, []string{"--all"}, 3, "no objects", "--to"},
		{"nothing there that begins so", server.Env(server.Endpoint), []string{"--to=s3://" + server.Bucket, "--prefix=1/"}, 3, "no objects", "--prefix"},
		{"no such bucket", server.Env(server.Endpoint), []string{"--to=s3://nothing-here", events}, 1, "NoSuchBucket", "create the bucket"},
		{"no such events", nil, []string{events + ".none"}, 2, ".none", "name event files"},
		{"report over the input", nil, []string{"--report=" + events, events}, 2, "would overwrite", "another file"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := command(t, test.env, append([]string{"verify"}, test.args...)...)
			c.Dir = t.TempDir()
			wantWrong(t, runCommand(t, c), test.code, test.err, test.hint)
			if entries, err := os.ReadDir(c.Dir); err != nil || len(entries) > 0 {
				t.Errorf("left behind: %v (%v)", entries, err)
			}
		})
	}
}
