package store_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

func openDir(t *testing.T, name string) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(name, false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	return d
}

// listDir gives the files that a user sees: those outside the store's own folder.
func listDir(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if e.IsDir() && name == filepath.Join(root, ".snapshot-mirror") {
			return fs.SkipDir
		}
		if !e.IsDir() {
			relative, _ := filepath.Rel(root, name)
			names = append(names, relative)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

func TestDir(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Subject {
		root := filepath.Join(t.TempDir(), "made", "when needed")
		return storetest.Subject{
			Store: openDir(t, root),
			Read: func(t *testing.T, key string) []byte {
				body, err := os.ReadFile(filepath.Join(root, key))
				if err != nil {
					t.Fatal(err)
				}
				return body
			},
			List: func(t *testing.T) []string { return listDir(t, root) },
		}
	})
}

func TestDirKeepsInside(t *testing.T) {
	base := t.TempDir()
	outside := filepath.Join(base, "outside")
	root := filepath.Join(base, "root")
	if err := os.MkdirAll(outside, 0o755); err != nil {
		t.Fatal(err)
	}
	d := openDir(t, root)
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"link/x", ".snapshot-mirror/meta/x", ".Snapshot-Mirror/x"} {
		err := d.Put(t.Context(), storetest.Object(key, "picture"))
		if e, ok := errors.AsType[*store.Error](err); !ok || e.Kind != store.Rejected {
			t.Errorf("put %q: %v, want a rejection", key, err)
		}
	}
	if got := append(listDir(t, outside), listDir(t, root)...); len(got) != 1 || got[0] != "link" {
		t.Errorf("files %q, want only the link", got)
	}
}

// A crash between the picture's and the record's rename must not leave a picture that counts as recorded.
func TestDirWithoutRecord(t *testing.T) {
	root := t.TempDir()
	d := openDir(t, root)
	if err := d.Put(t.Context(), storetest.Object("1/1", "picture")); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		harm func() error
	}{
		{"record gone", func() error { return os.Remove(filepath.Join(root, ".snapshot-mirror/meta/1/1.json")) }},
		{"record garbage", func() error {
			return os.WriteFile(filepath.Join(root, ".snapshot-mirror/meta/1/1.json"), []byte("{"), 0o644)
		}},
		{"picture cut", func() error { return os.WriteFile(filepath.Join(root, "1/1"), []byte("pict"), 0o644) }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := d.Put(t.Context(), storetest.Object("1/1", "picture")); err != nil {
				t.Fatal(err)
			}
			if err := test.harm(); err != nil {
				t.Fatal(err)
			}
			info, err := d.Head(t.Context(), "1/1")
			if err != nil {
				t.Fatal(err)
			}
			if len(info.Metadata) != 0 {
				t.Errorf("metadata %v, want none", info.Metadata)
			}
		})
	}
}

func TestDirClearsStaleFiles(t *testing.T) {
	root := t.TempDir()
	openDir(t, root)
	temp := filepath.Join(root, ".snapshot-mirror/tmp")
	for name, age := range map[string]time.Duration{"old": 2 * time.Hour, "new": 0} {
		file := filepath.Join(temp, name)
		if err := os.WriteFile(file, []byte("half a pict"), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, time.Time{}, time.Now().Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	openDir(t, root)
	if got := listDir(t, temp); len(got) != 1 || got[0] != "new" {
		t.Errorf("temporary files %q, want only the new one: another process may be writing it", got)
	}
}

func TestDirReadOnly(t *testing.T) {
	root := filepath.Join(t.TempDir(), "none")
	d, err := store.OpenDir(root, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Head(t.Context(), "1/1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("head: %v, want ErrNotFound", err)
	}
	if _, err := os.Stat(root); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is only read was made: %v", err)
	}
}
