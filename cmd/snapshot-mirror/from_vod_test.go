package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
)

var vodMedia = flag.Int("vod-media", 3000, "media in the test of a backfill from VOD; 50000 is the full size")

// fillLibrary fills a stand-in: n media, a sixth of them created in one second, and gives the paths of their pictures.
func fillLibrary(api *vodtest.Server, o *origin, n int) (paths []string) {
	media := make([]vodtest.Media, n)
	begin := time.Now().Add(-48 * time.Hour)
	for i := range media {
		id := fmt.Sprintf("media-%d", i)
		at := begin.Add(time.Duration(i) * 24 * time.Hour / time.Duration(n))
		if i%25 < 4 {
			at = begin.Add(12 * time.Hour)
		}
		media[i] = vodtest.Media{FileID: id, CreateTime: at, Snapshots: fmt.Sprintf(
			`{"SnapshotByTimeOffsetSet":[{"Definition":10,"PicInfoSet":[{"TimeOffset":0.0,"Url":"%s/%s/0.jpg"}]}]}`, o.URL, id)}
		paths = append(paths, "/"+id+"/0.jpg")
	}
	api.SetMedia(media...)
	return paths
}

// A backfill from VOD that is killed goes on where it was, keeps the rate, and ends with everything. The full size:
//
//	go test ./cmd/snapshot-mirror -run TestFromVODAfterAKill -v -vod-media 50000 -timeout 30m
func TestFromVODAfterAKill(t *testing.T) {
	origin := newOrigin(t)
	options := vodOptions
	options.Rate = 200
	api := vodtest.Start(t, options)
	paths := fillLibrary(api, origin, *vodMedia)
	folder, state := t.TempDir(), filepath.Join(t.TempDir(), "state")
	args := []string{"backfill", "--from-vod", "--to", folder, "--allow-private-sources", "--state", state, "--vod-rate", "190", "--log-format", "json"}

	first := command(t, vodSettings(api), args...)
	var log bytes.Buffer
	first.Stderr = &log
	if err := first.Start(); err != nil {
		t.Fatal(err)
	}
	waitFor(t, "half of it is done", 20*time.Minute, func() bool { return countFolders(folder) > *vodMedia/2 })
	_ = first.Process.Kill()
	_ = first.Wait()
	done, calls := countFolders(folder), api.Calls("SearchMedia")
	origin.asked()
	if _, err := os.Stat(state); err != nil {
		t.Fatal(err)
	}

	begin := time.Now()
	second := runCommand(t, command(t, vodSettings(api), args...))
	if second.code != 0 || !strings.Contains(second.stderr, "going on where an earlier run has ended") {
		t.Errorf("the second run ended with %d:\n%s%s", second.code, second.stdout, second.stderr)
	}
	for _, path := range paths {
		got, err := os.ReadFile(filepath.Join(folder, strings.TrimSuffix(path, ".jpg")))
		if err != nil || !bytes.Equal(got, origin.picture(path)) {
			t.Fatalf("%s: %d bytes (%v), want the picture", path, len(got), err)
		}
	}
	again := api.Calls("SearchMedia") - calls
	fetched := len(origin.asked())
	t.Logf("killed with %d of %d done after %d calls; the second run: %d calls, %d fetched, %v\n%s", done, *vodMedia, calls, again, fetched,
		time.Since(begin).Round(time.Millisecond), second.stdout)
	if fetched > *vodMedia-done+64 {
		t.Errorf("%d pictures were fetched by the second run, %d were missing", fetched, *vodMedia-done)
	}
	// Beside what is missing, what was in flight is looked at again, and the one second in which there are so many.
	var listed int
	_, rest, _ := strings.Cut(second.stdout, "media")
	if _, err := fmt.Sscan(rest, &listed); err != nil || listed > *vodMedia-done+*vodMedia*4/25+500 {
		t.Errorf("the second run listed %d media (%v), %d were missing: it began anew", listed, err, *vodMedia-done)
	}
	if n := api.Throttled(); n > 0 {
		t.Errorf("%d calls were above VOD's rate", n)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("a finished run leaves its state file")
	}

	// What is there is skipped; --since narrows it; single ones are asked for by name.
	for _, test := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"--since", "1h"}, 0, "media                        0\n"},
		{[]string{"--since", "3d"}, 0, fmt.Sprintf("skipped                      %d", len(paths))},
		{[]string{"--file-id", "media-1,media-2"}, 0, "skipped                      2"},
		{[]string{"--file-id", "media-1,nobody"}, 3, "malformed                    1"},
	} {
		got := runCommand(t, command(t, vodSettings(api), append(args, test.args...)...))
		if lines := strings.ReplaceAll(got.stdout, "  ", " "); got.code != test.code || !strings.Contains(squeeze(lines), squeeze(test.want)) {
			t.Errorf("%v: exit code %d\n%s%s", test.args, got.code, got.stdout, got.stderr)
		}
	}
}

// squeeze makes every run of blanks one.
func squeeze(s string) string { return strings.Join(strings.Fields(s), " ") }

func countFolders(dir string) int {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	return max(0, len(entries)-1) // one is the store's own
}

// A backfill that can't go on says so, and what there was is not taken for done.
func TestFromVODFails(t *testing.T) {
	origin := newOrigin(t)
	api := vodtest.Start(t, vodOptions)
	fillLibrary(api, origin, 200)
	folder := t.TempDir()
	run := func(args ...string) outcome {
		return runCommand(t, command(t, vodSettings(api), append([]string{"backfill", "--from-vod", "--to", folder, "--allow-private-sources", "--state", filepath.Join(folder, ".state")}, args...)...))
	}
	api.Forbid("SearchMedia")
	if got := run(); got.code != 1 || !strings.Contains(got.stderr, "hint: the credentials need the CAM permission vod:SearchMedia") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
	if got := run("--since", "1h"); got.code != 2 || !strings.Contains(got.stderr, "it belongs to another run") {
		t.Errorf("exit code %d:\n%s", got.code, got.stderr)
	}
}
