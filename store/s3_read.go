package store

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Open begins to read an object, or gives an error that wraps ErrNotFound. ctx must live until the reading is done.
func (s *S3) Open(ctx context.Context, key string) (*Reading, error) {
	const op = "reading"
	if err := refuse(op, key); err != nil {
		return nil, err
	}
	body, o, _, err := s.client.GetObject(ctx, s.options.Bucket, s.key(key), minio.GetObjectOptions{})
	if err != nil {
		if r := minio.ToErrorResponse(err); r.StatusCode == http.StatusNotFound && r.Code != "NoSuchBucket" {
			return nil, fmt.Errorf("%s %q: %w", op, key, ErrNotFound)
		}
		return nil, s.fail(ctx, op, key, err)
	}
	return &Reading{ReadCloser: s3Body{s, ctx, key, body}, Info: s3Info(o), ETag: o.ETag}, nil
}

// s3Body gives the errors of a body that breaks off their kind.
type s3Body struct {
	s   *S3
	ctx context.Context
	key string
	io.ReadCloser
}

func (b s3Body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.s.fail(b.ctx, "reading", b.key, err)
	}
	return n, err
}

// List gives up to n objects whose keys begin with prefix and come after a key, in the order of their bytes. Keys that CheckKey
// refuses are left out.
func (s *S3) List(ctx context.Context, prefix, after string, n int) ([]Entry, error) {
	const op = "listing"
	if err := refusePrefix(op, prefix); err != nil {
		return nil, err
	}
	listing, cancel := context.WithCancel(ctx) // ends what runs for the iterator when n ends it
	defer cancel()
	options := minio.ListObjectsOptions{Prefix: s.key(prefix), Recursive: true, MaxKeys: min(n, s3ListKeys)}
	if after != "" {
		options.StartAfter = s.key(after)
	}
	var list []Entry
	for o := range s.client.ListObjectsIter(listing, s.options.Bucket, options) {
		if o.Err != nil {
			return nil, s.fail(ctx, op, prefix, o.Err)
		}
		key := strings.TrimPrefix(o.Key, s.key(""))
		if CheckKey(key) != nil {
			continue
		}
		if list = append(list, Entry{Key: key, Size: o.Size, Modified: o.LastModified}); len(list) == n {
			break
		}
	}
	return list, ctx.Err() // the iterator just stops then, and half a list must not look like a whole one
}

// s3ListKeys is how many keys S3 lists with one request at the most.
const s3ListKeys = 1000
