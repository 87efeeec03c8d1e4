package store

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/singleflight"
)

// Dir puts objects into a directory: the picture at its key, and what is recorded about it under the one dot-folder
// .snapshot-mirror, so that a listing shows pictures alone. No key leads out of the directory, not even over a symbolic
// link. It is safe for concurrent use, and several processes may share a directory.
//
// A picture appears whole or not at all: it is written and synced under the dot-folder and then renamed.
type Dir struct {
	root  *os.Root // nil for a directory that is not there and is only read
	mkdir singleflight.Group
}

const (
	dotFolder  = ".snapshot-mirror"
	metaFolder = dotFolder + "/meta"
	tempFolder = dotFolder + "/tmp"
	// staleTemp is how old a temporary file is when no process can still be writing it.
	staleTemp = time.Hour
)

// OpenDir opens the directory at name, and makes it if it is not there, unless it is only to be read.
func OpenDir(name string, readOnly bool) (*Dir, error) {
	const op = "opening the destination directory"
	if !readOnly {
		if err := os.MkdirAll(name, 0o755); err != nil {
			return nil, dirError(op, "", err)
		}
	}
	root, err := os.OpenRoot(name)
	if readOnly && errors.Is(err, fs.ErrNotExist) {
		return &Dir{}, nil
	}
	if err != nil {
		return nil, dirError(op, "", err)
	}
	d := &Dir{root: root}
	if readOnly {
		return d, nil
	}
	if err := root.MkdirAll(tempFolder, 0o755); err != nil {
		return nil, dirError(op, "", err)
	}
	if err := d.removeStale(); err != nil {
		return nil, dirError(op, "", err)
	}
	return d, nil
}

// Close lets go of the directory.
func (d *Dir) Close() error {
	if d.root == nil {
		return nil
	}
	return d.root.Close()
}

// Check finds out whether the directory can be written.
func (d *Dir) Check(context.Context) error {
	if d.root == nil {
		return nil
	}
	const op = "writing to the destination directory"
	temp, err := d.writeTemp(nil)
	if err != nil {
		return dirError(op, "", err)
	}
	if err := d.root.Remove(temp); err != nil {
		return dirError(op, "", err)
	}
	return nil
}

// removeStale clears away what a killed process was writing.
func (d *Dir) removeStale() error {
	entries, err := fs.ReadDir(d.root.FS(), tempFolder)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && time.Since(info.ModTime()) > staleTemp {
			err = d.root.Remove(path.Join(tempFolder, e.Name()))
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// dirRecord is the file that goes with a picture.
type dirRecord struct {
	Size        int64             `json:"size"`
	MD5         string            `json:"md5"`
	ContentType string            `json:"content_type"`
	Metadata    map[string]string `json:"metadata"`
}

func recordName(key string) string { return metaFolder + "/" + key + ".json" }

// Head implements the store's contract. A picture whose record is missing or of another size counts as somebody else's.
func (d *Dir) Head(ctx context.Context, key string) (Info, error) {
	const op = "looking for"
	if err := ctx.Err(); err != nil {
		return Info{}, err
	}
	if err := refuse(op, key); err != nil {
		return Info{}, err
	}
	if d.root == nil {
		return Info{}, fmt.Errorf("%s %q: %w", op, key, ErrNotFound)
	}
	file, err := d.root.Lstat(key)
	if errors.Is(err, fs.ErrNotExist) {
		return Info{}, fmt.Errorf("%s %q: %w", op, key, ErrNotFound)
	}
	if err != nil {
		return Info{}, dirError(op, key, err)
	}
	info := Info{Size: file.Size()}
	text, err := d.root.ReadFile(recordName(key))
	if errors.Is(err, fs.ErrNotExist) {
		return info, nil
	}
	if err != nil {
		return Info{}, dirError(op, key, err)
	}
	var record dirRecord
	if json.Unmarshal(text, &record) != nil {
		return info, nil
	}
	if record.Size != info.Size {
		info.PutSize = record.Size
		return info, nil
	}
	info.ContentType, info.Metadata = record.ContentType, record.Metadata
	return info, nil
}

// Excludes says no: another process may put between the look and the rename.
func (d *Dir) Excludes() bool { return false }

// Put implements the store's contract; durable means synced to the disk.
func (d *Dir) Put(ctx context.Context, o Object) error {
	const op = "putting"
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := refuseObject(op, o); err != nil {
		return err
	}
	if _, err := d.root.Lstat(o.Key); err == nil && o.IfAbsent {
		return fmt.Errorf("%s %q: %w", op, o.Key, ErrExists)
	}
	if err := d.put(o); err != nil {
		return dirError(op, o.Key, err)
	}
	return nil
}

func (d *Dir) put(o Object) (err error) {
	record, err := json.Marshal(dirRecord{int64(len(o.Body)), fmt.Sprintf("%x", o.digest()), o.ContentType, o.Metadata})
	if err != nil {
		return err
	}
	recordAt := recordName(o.Key)
	for _, dir := range []string{path.Dir(o.Key), path.Dir(recordAt)} {
		if err := d.ensureDir(dir); err != nil {
			return err
		}
	}
	bodyTemp, err := d.writeTemp(o.Body)
	if err != nil {
		return err
	}
	recordTemp, err := d.writeTemp(record)
	if err != nil {
		return errors.Join(err, d.root.Remove(bodyTemp))
	}
	defer func() {
		if err != nil { // what was renamed is not there any more
			_, _ = d.root.Remove(bodyTemp), d.root.Remove(recordTemp)
		}
	}()
	// The old record goes first: a crash in between leaves a picture without a record, which is fetched anew, and never a
	// picture with another's record, which would be skipped.
	if err := d.root.Remove(recordAt); err == nil {
		if err := d.syncDir(path.Dir(recordAt)); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := d.root.Rename(bodyTemp, o.Key); err != nil {
		return err
	}
	if err := d.syncDir(path.Dir(o.Key)); err != nil {
		return err
	}
	if err := d.root.Rename(recordTemp, recordAt); err != nil {
		return err
	}
	return d.syncDir(path.Dir(recordAt))
}

// writeTemp writes a synced file under a name that no other process uses.
func (d *Dir) writeTemp(body []byte) (name string, err error) {
	name = tempFolder + "/" + rand.Text()
	file, err := d.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return "", err
	}
	_, err = file.Write(body)
	err = errors.Join(err, file.Sync(), file.Close())
	if err != nil {
		return "", errors.Join(err, d.root.Remove(name))
	}
	return name, nil
}

// ensureDir makes a directory, durably. Those who need the same one wait for whoever makes it.
func (d *Dir) ensureDir(name string) error {
	_, err, _ := d.mkdir.Do(name, func() (any, error) {
		if info, err := d.root.Stat(name); err == nil && info.IsDir() {
			return nil, nil
		}
		if err := d.root.MkdirAll(name, 0o755); err != nil {
			return nil, err
		}
		for dir := name; dir != "."; {
			dir = path.Dir(dir)
			if err := d.syncDir(dir); err != nil {
				return nil, err
			}
		}
		return nil, nil
	})
	return err
}

func (d *Dir) syncDir(name string) error {
	dir, err := d.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// dirError gives a file system's error its kind.
func dirError(op, key string, err error) error {
	e := &Error{Kind: Unavailable, Op: op, Key: key, Err: err}
	switch {
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		e.Kind, e.Whole, e.Hint = Denied, key == "" || errors.Is(err, syscall.EROFS), "give this user the right to write there, or name another directory with --to"
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		e.Hint = "make room on the disk"
	case errors.Is(err, syscall.ENAMETOOLONG), errors.Is(err, syscall.ENOTDIR), errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTEMPTY),
		errors.Is(err, fs.ErrExist), errors.Is(err, syscall.EINVAL), strings.Contains(err.Error(), "escapes from parent"):
		e.Kind = Rejected
		if key == "" {
			e.Kind, e.Whole, e.Hint = Denied, true, "name a directory with --to"
		}
	}
	return e
}
