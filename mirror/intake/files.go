// Package intake is where snapshots come in: from files of events ([Files]), by VOD's callbacks ([Callback]), from its reliable
// callback ([Puller]), and from what its API lists ([Library]).
package intake

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// Stdin is the name that stands for standard input.
const Stdin = "-"

// Stats count what has been read so far. They can be read while Files runs.
type Stats struct {
	Files     atomic.Int64 // finished
	Bytes     atomic.Int64 // as they lie on the disk, compressed or not
	Events    atomic.Int64 // well-formed ones of every type
	Foreign   atomic.Int64 // events of types that announce no snapshots
	Snapshots atomic.Int64 // announced as made
	Announced atomic.Int64 // announced as failed by VOD
	Malformed atomic.Int64 // pieces of input that can't be used
	// OtherShares counts snapshots that Files.Take refused.
	OtherShares atomic.Int64
	// LeftOut counts snapshots that Files.Filter does not take.
	LeftOut atomic.Int64
}

// Files reads events from files, directories and standard input, one after the other, without holding more than one event.
type Files struct {
	// Names are files, directories (read recursively, without what begins with a dot) or Stdin. Files may be compressed with
	// gzip or zstd, which their first bytes tell.
	Names []string
	Stdin io.Reader
	// Take says whether the snapshots of a file id are wanted; nil wants all.
	Take func(fileID string) bool
	// Filter says which snapshots are wanted; of other shares, none is asked about.
	Filter mirror.Filter
	// Malformed is told of each piece that can't be used: the file, the line where it begins (0 when it is none), and why.
	Malformed func(file string, line int, err error)
	// Announced is told of each snapshot that VOD itself announced as failed.
	Announced func(vod.Failure)
	Stats     Stats

	size int64       // bytes, 0 when it is not known
	read atomic.Bool // all of it
}

// Measure finds out how much there is to read, and gives an error when something named is not there or can't be read.
func (f *Files) Measure() error {
	var total int64
	known := true
	for _, name := range f.Names {
		if name == Stdin {
			known = false
			continue
		}
		err := walk(name, func(file string) error {
			info, err := os.Stat(file)
			if err != nil {
				return err
			}
			if !info.Mode().IsRegular() { // a pipe can be opened only once
				known = false
				return nil
			}
			total += info.Size()
			r, err := os.Open(file)
			if err != nil {
				return err
			}
			return r.Close()
		})
		if err != nil {
			return err
		}
	}
	if known {
		f.size = total
	}
	return nil
}

// Total is how many snapshots there are: exact when the whole input has been read; before that an estimate from the part that
// has been, or -1 when nothing can be said.
func (f *Files) Total() (n int64, exact bool) {
	read, found := f.Stats.Bytes.Load(), f.Stats.Snapshots.Load()
	switch {
	case f.read.Load():
		return found, true
	case f.size > 0 && read > 0 && found > 0:
		return max(found, int64(float64(found)*float64(f.size)/float64(read))), false
	}
	return -1, false
}

// Read sends every announced snapshot to out until the input or ctx ends. It closes nothing. What is malformed or can't be read
// is reported and passed over; an error is the context's, or says that a directory can't be listed.
func (f *Files) Read(ctx context.Context, out chan<- mirror.Snapshot) error {
	err := f.readAll(ctx, out)
	f.read.Store(err == nil)
	return err
}

func (f *Files) readAll(ctx context.Context, out chan<- mirror.Snapshot) error {
	for _, name := range f.Names {
		if name == Stdin {
			if err := f.readStream(ctx, "standard input", f.Stdin, out); err != nil {
				return err
			}
			continue
		}
		err := walk(name, func(file string) error {
			r, err := os.Open(file)
			if err != nil {
				f.malformed(file, 0, err) // it was there when Measure looked
				return nil
			}
			defer r.Close()
			return f.readStream(ctx, file, r, out)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// walk calls visit for a file, or for each file below a directory in lexical order. Links to files are followed, as Kubernetes
// mounts configuration that way; links to directories are not.
func walk(name string, visit func(file string) error) error {
	return filepath.WalkDir(name, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if file != name && strings.HasPrefix(entry.Name(), ".") {
			if entry.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		if info.IsDir() || (file != name && !info.Mode().IsRegular()) {
			return nil
		}
		return visit(file)
	})
}

func (f *Files) readStream(ctx context.Context, name string, r io.Reader, out chan<- mirror.Snapshot) error {
	plain, err := decompress(&countingReader{r, &f.Stats.Bytes})
	if err != nil {
		f.malformed(name, 1, err)
		return nil
	}
	defer plain.Close()
	scanner := vod.NewScanner(plain)
	for {
		text, line, err := scanner.Next()
		if bad, ok := errors.AsType[*vod.Malformed](err); ok {
			f.malformed(name, bad.Line, bad.Err)
			continue
		}
		if err == io.EOF {
			f.Stats.Files.Add(1)
			return nil
		}
		if err != nil { // a damaged archive or disk: the other files may be whole
			f.malformed(name, scanner.Line(), fmt.Errorf("reading no further: %w", err))
			return nil
		}
		event, err := vod.Decode(text)
		if err != nil {
			f.malformed(name, line, err)
			continue
		}
		if err := f.take(ctx, name, line, event, out); err != nil {
			return err
		}
	}
}

func (f *Files) take(ctx context.Context, name string, line int, event vod.Event, out chan<- mirror.Snapshot) error {
	f.Stats.Events.Add(1)
	if !event.Carries {
		f.Stats.Foreign.Add(1)
	}
	for _, err := range event.Malformed {
		f.malformed(name, line, err)
	}
	for _, failed := range event.Failed {
		f.Stats.Announced.Add(1)
		f.Announced(failed)
	}
	for _, s := range event.Snapshots {
		if f.Take != nil && !f.Take(s.FileID) {
			f.Stats.OtherShares.Add(1)
			continue
		}
		if !f.Filter.Takes(s) {
			f.Stats.LeftOut.Add(1)
			continue
		}
		select {
		case out <- s:
			f.Stats.Snapshots.Add(1)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return ctx.Err()
}

func (f *Files) malformed(name string, line int, err error) {
	f.Stats.Malformed.Add(1)
	f.Malformed(name, line, err)
}

// maxZstdWindow bounds the memory that a zstd file can ask for; zstd's own highest ordinary level needs 128 MiB.
const maxZstdWindow = 128 << 20

// decompress looks at the first bytes, never at a name.
func decompress(r io.Reader) (io.ReadCloser, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	magic, err := buffered.Peek(4)
	if err != nil && err != io.EOF {
		return nil, err
	}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		return gzip.NewReader(buffered)
	case string(magic) == "\x28\xb5\x2f\xfd":
		d, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxZstdWindow))
		if err != nil {
			return nil, err
		}
		return d.IOReadCloser(), nil
	}
	return io.NopCloser(buffered), nil
}

type countingReader struct {
	io.Reader
	n *atomic.Int64
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.Reader.Read(b)
	c.n.Add(int64(n))
	return n, err
}
