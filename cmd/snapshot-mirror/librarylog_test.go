package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// What an origin sends unasked, behind an answer, is in no log: net/http would quote it.
func TestUnaskedAnswer(t *testing.T) {
	picture := newOrigin(t).picture("/1.jpg")
	url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, buffered, err := w.(http.Hijacker).Hijack()
		if err != nil {
			panic(err)
		}
		defer conn.Close()
		fmt.Fprintf(buffered, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%sHTTP/1.1 200 OK\r\nX: %s\r\n\r\n", len(picture), picture, r.URL.RawQuery)
		_ = buffered.Flush()
		_, _ = io.Copy(io.Discard, conn)
	}))
	events := filepath.Join(t.TempDir(), "events.ndjson")
	event := fmt.Sprintf(`{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"TaskId":"t","FileId":"1","Definition":10,"SnapshotInfoSet":[{"ErrCode":0,"TimeOffset":0,"Url":"%s/1.jpg?sign=SECRET"}]}}`, url)
	if err := os.WriteFile(events, []byte(event), 0o600); err != nil {
		t.Fatal(err)
	}
	got := runCommand(t, command(t, nil, "backfill", "--allow-private-sources", "--log-level", "debug", "--to", filepath.Join(t.TempDir(), "mirrored"), events))
	if got.code != exitOK || strings.Contains(got.stderr, "Unsolicited") || strings.Contains(got.stderr, "SECRET") {
		t.Errorf("%+v", got)
	}
}
