package main

import (
	"crypto/md5"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// An origin with everything that Tencent's CDN may ask for: key hotlink protection, a Referer, and a header of its owner's. It is
// asked as it wants, and neither signatures nor secrets show anywhere.
func TestProtectedOrigin(t *testing.T) {
	const key, token, eventSign = "hotlink-hush", "token-hush", "event-hush"
	origin, server := newOrigin(t), storetest.StartS3(t)
	var mu sync.Mutex
	secrets := []string{key, token, eventSign, "sign="}
	origin.setAnswer(func(w http.ResponseWriter, r *http.Request) bool {
		query := r.URL.Query()
		expiry, err := strconv.ParseInt(query.Get("t"), 16, 64)
		want := fmt.Sprintf("%x", md5.Sum([]byte(key+path.Dir(r.URL.EscapedPath())+"/"+query.Get("t"))))
		mu.Lock()
		secrets = append(secrets, want)
		mu.Unlock()
		switch {
		case err != nil || time.Until(time.Unix(expiry, 0)) < 0 || query.Get("sign") != want || query.Get("x") != "1",
			r.Referer() != "https://player.example.com/", r.Header.Get("X-Token") != token:
			w.WriteHeader(http.StatusForbidden)
			return true
		case strings.HasPrefix(r.URL.Path, "/cut/"):
			w.Header().Set("Content-Length", "1000")
			_, _ = w.Write([]byte("\xff\xd8\xff"))
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		case strings.HasPrefix(r.URL.Path, "/away/"):
			http.Redirect(w, r, "http://127.0.0.1:1/?sign="+eventSign, http.StatusFound)
			return true
		}
		return false
	})
	old := strings.Replace(origin.URL, "127.0.0.1", "old.invalid", 1)
	var events strings.Builder
	for _, file := range []string{"a", "b", "missing", "html", "cut", "away"} {
		event := origin.event("task", file, 10, manyPaths(file, 2)...)
		events.WriteString(strings.NewReplacer(origin.URL, old, `.jpg"`, ".jpg?x=1&t=1&sign="+eventSign+`"`).Replace(event) + "\n")
	}
	env := append(server.Env(server.Endpoint), "SNAPSHOT_MIRROR_HOTLINK_KEY="+key, "SNAPSHOT_MIRROR_SOURCE_HEADER=X-Token: "+token,
		"SNAPSHOT_MIRROR_SOURCE_REFERER=https://player.example.com/",
		"SNAPSHOT_MIRROR_SOURCE_REWRITE="+strings.TrimPrefix(old, "http://")+"="+strings.TrimPrefix(origin.URL, "http://"))
	source := []string{"--source-host", "127.0.0.1", "--source-retries", "1", "--to", "s3://" + server.Bucket, "--log-level", "debug"}
	report := filepath.Join(t.TempDir(), "report.ndjson")
	got := runCommand(t, command(t, env, append([]string{"backfill", "--allow-private-sources", "--report", report, "--json", writeFile(t, events.String())}, source...)...))
	if got.code != exitFailed || strings.Count(got.stdout, `"outcome":"mirrored"`) != 4 {
		t.Fatalf("%+v", got)
	}
	for _, reason := range []string{"source_missing", "not_an_image", "incomplete", "source_unreachable"} {
		if strings.Count(got.stdout, `"reason":"`+reason+`"`) != 2 {
			t.Errorf("not two failures with %s:\n%s", reason, got.stdout)
		}
	}
	s := startServe(t, env, append(source, "--key-template", "serve/{file_id}/{time_offset}", "--retry-min", "100ms", "--give-up-after", "1ms")...)
	if status := s.post(events.String()); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	waitFor(t, "8 dead letters", time.Minute, func() bool { return s.idle() && s.metric(metricDead) == 8 })
	_, metrics := s.get("/metrics")
	reported, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	list := s.run("failed", "list")
	shown := map[string]string{"backfill's log": got.stderr, "its output": got.stdout, "its report": string(reported), "serve's log": s.log.tail(1 << 30),
		"its metrics": metrics, "failed list": list.stdout + list.stderr, "metadata": allMetadata(t, server)}
	for where, text := range shown {
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s shows a secret: …%s…", where, text[max(0, i-80):min(len(text), i+40)])
			}
		}
		if text == "" {
			t.Errorf("%s is empty", where)
		}
	}
}

// allMetadata is what a bucket knows of its objects, as text.
func allMetadata(t *testing.T, server *storetest.Server) string {
	t.Helper()
	var all strings.Builder
	for _, name := range server.Names(t) {
		info, err := server.Client(t).StatObject(t.Context(), server.Bucket, name, minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(info)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(text)
	}
	return all.String()
}
