package store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Open begins to read an object, or gives an error that wraps ErrNotFound.
func (d *Dir) Open(ctx context.Context, key string) (*Reading, error) {
	const op = "reading"
	info, err := d.Head(ctx, key)
	if err != nil {
		return nil, err
	}
	if file, err := d.root.Lstat(key); err != nil || !file.Mode().IsRegular() { // opening a pipe would wait for ever
		return nil, fmt.Errorf("%s %q: %w", op, key, ErrNotFound)
	}
	file, err := d.root.Open(key)
	if err != nil {
		return nil, dirError(op, key, err)
	}
	now, err := file.Stat()
	if err != nil || now.Size() != info.Size {
		_ = file.Close()
		return nil, &Error{Kind: Unavailable, Op: op, Key: key, Err: errors.New("it is being replaced")}
	}
	// With its record, which has the digest: a clock of the file system may stand still between two puts.
	record, _ := d.root.ReadFile(recordName(key))
	etag := fmt.Sprintf("%x-%x-%x", now.ModTime().UnixNano(), now.Size(), crc32.Checksum(record, castagnoli))
	return &Reading{ReadCloser: file, Info: info, ETag: etag}, nil
}

// List gives up to n objects whose keys begin with prefix and come after a key, in the order of their bytes. What is
// snapshot-mirror's own, what CheckKey refuses and what is no regular file is left out.
func (d *Dir) List(ctx context.Context, prefix, after string, n int) ([]Entry, error) {
	if err := refusePrefix("listing", prefix); err != nil {
		return nil, err
	}
	if d.root == nil {
		return nil, nil
	}
	l := dirListing{d: d, ctx: ctx, prefix: prefix, after: after, n: n}
	top := "."
	if i := strings.LastIndexByte(prefix, '/'); i >= 0 {
		top = prefix[:i]
	}
	err := l.walk(top)
	if err != nil && ctx.Err() == nil {
		err = dirError("listing", prefix, err)
	}
	return l.list, err
}

type dirListing struct {
	d             *Dir
	ctx           context.Context
	prefix, after string
	n             int
	list          []Entry
}

// dirListBatch is how many names are in memory that turn out not to be wanted.
const dirListBatch = 1024

// walk adds what is in a directory and below.
func (l *dirListing) walk(dir string) error {
	names, err := l.wanted(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if len(l.list) == l.n {
			return nil
		}
		if below, isDir := strings.CutSuffix(name, "/"); isDir {
			if err := l.walk(below); err != nil {
				return err
			}
			continue
		}
		info, err := l.d.root.Lstat(name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		l.list = append(l.list, Entry{Key: name, Size: info.Size(), Modified: info.ModTime()})
	}
	return nil
}

// wanted gives the keys in a directory that may have a place in the listing, in their order. Directories end with a slash, as
// they do in the order of keys.
func (l *dirListing) wanted(dir string) (keys []string, _ error) {
	file, err := l.d.root.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.IsDir() {
		return nil, err
	}
	for {
		if err := l.ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := file.ReadDir(dirListBatch)
		for _, e := range entries {
			key := path.Join(dir, e.Name())
			switch {
			case dir == "." && strings.EqualFold(e.Name(), dotFolder), CheckKey(key) != nil:
			case e.IsDir():
				key += "/"
				if (strings.HasPrefix(key, l.prefix) || strings.HasPrefix(l.prefix, key)) && (key > l.after || strings.HasPrefix(l.after, key)) {
					keys = append(keys, key)
				}
			case e.Type().IsRegular() && strings.HasPrefix(key, l.prefix) && key > l.after:
				keys = append(keys, key)
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
	}
	slices.Sort(keys)
	return keys, nil
}
