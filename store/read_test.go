package store_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

func TestDirReading(t *testing.T) {
	storetest.RunReading(t, func(t *testing.T) storetest.Reader { return openDir(t, t.TempDir()) })
}

func TestS3Reading(t *testing.T) {
	for _, prefix := range []string{"", "deep/prefix"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			storetest.RunReading(t, func(t *testing.T) storetest.Reader {
				server := storetest.StartS3(t)
				return openS3(t, server, server.Endpoint, func(o *store.S3Options) { o.Prefix = prefix })
			})
		})
	}
}

// What is no picture of ours is neither listed nor read: a link out of the directory, a pipe, our own files.
func TestDirReadsPicturesOnly(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	d := openDir(t, root)
	if err := d.Put(t.Context(), storetest.Object("1/1", "picture")); err != nil {
		t.Fatal(err)
	}
	for _, err := range []error{
		os.WriteFile(filepath.Join(outside, "secret"), []byte("secret"), 0o644),
		os.Symlink(filepath.Join(outside, "secret"), filepath.Join(root, "1", "link")),
		os.Symlink(outside, filepath.Join(root, "folder")),
		syscall.Mkfifo(filepath.Join(root, "1", "pipe"), 0o644),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := d.List(t.Context(), "", "", 10)
	if err != nil || len(list) != 1 || list[0].Key != "1/1" {
		t.Errorf("%v, %v, want the picture alone", list, err)
	}
	for _, key := range []string{"1/link", "1/pipe", "folder/secret", ".snapshot-mirror/meta/1/1.json"} {
		if r, err := d.Open(t.Context(), key); err == nil {
			_ = r.Close()
			t.Errorf("%s was opened", key)
		}
	}
}

// Others may have keys in the bucket that are not safe to show.
func TestS3ListLeavesOutUnsafeKeys(t *testing.T) {
	server := storetest.StartS3(t)
	s3 := openS3(t, server, server.Endpoint, nil)
	for _, key := range []string{"1/a\u202eb", "1/ok", "1/folder/"} {
		if _, err := server.Client(t).PutObject(t.Context(), server.Bucket, key, nil, 0, minio.PutObjectOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	list, err := s3.List(t.Context(), "1/", "", 10)
	if err != nil || len(list) != 1 || list[0].Key != "1/ok" {
		t.Errorf("%v, %v, want one", list, err)
	}
}

func TestS3ReadingWhatIsRefused(t *testing.T) {
	server := storetest.StartS3(t)
	s3 := openS3(t, server, server.Endpoint, func(o *store.S3Options) { o.Credentials.SecretAccessKey = "wrong" })
	_, open := s3.Open(t.Context(), "1/1")
	_, list := s3.List(t.Context(), "1/", "", 1)
	for what, err := range map[string]error{"open": open, "list": list} {
		if e, ok := errors.AsType[*store.Error](err); !ok || e.Kind != store.Denied || e.Hint == "" {
			t.Errorf("%s: %v, want Denied and a hint", what, err)
		}
	}
}
