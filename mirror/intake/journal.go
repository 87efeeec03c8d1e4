package intake

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/gofrs/flock"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// Journal notes in a file how far a [Library] is mirrored, so that after a kill the next run goes on there. The file begins with
// what the run is about; each line behind it is a time up to which every media is settled, or a media with snapshots that failed.
type Journal struct {
	name string
	lock *flock.Flock

	mu      sync.Mutex
	file    *os.File
	out     *bufio.Writer
	synced  time.Time
	reached time.Time
	last    time.Time // creation of the last media that was begun
	failed  map[string]bool
	open    []*openMedia          // in the order of their creation; settled ones are dropped from the front
	byID    map[string]*openMedia // of those with snapshots that are not settled
	err     error
}

// openMedia is a media whose snapshots are being mirrored.
type openMedia struct {
	fileID string
	at     time.Time // zero for those that were read by their file id
	left   int
	failed bool
}

type journalLine struct {
	Run     string     `json:"run,omitempty"`
	Reached *time.Time `json:"reached,omitempty"`
	Failed  string     `json:"failed,omitempty"`
}

// ErrOtherRun says that a journal is that of another run.
var ErrOtherRun = errors.New("it belongs to another run")

// OpenJournal opens the file, or begins it. run says what the run is about: only the same may go on. An error may be ErrInUse or
// wrap ErrOtherRun.
func OpenJournal(name, run string) (*Journal, error) {
	lock := flock.New(name)
	locked, err := lock.TryLock()
	if err == nil && !locked {
		err = errors.New("another run is using it")
	}
	if err != nil {
		return nil, fmt.Errorf("opening the state file %s: %w", name, err)
	}
	j := &Journal{name: name, lock: lock, byID: map[string]*openMedia{}, failed: map[string]bool{}}
	if err := j.read(run); err != nil {
		_ = lock.Unlock()
		return nil, fmt.Errorf("opening the state file %s: %w", name, err)
	}
	return j, nil
}

// read takes up what an earlier run has noted, and opens the file for more.
func (j *Journal) read(run string) (err error) {
	if j.file, err = os.OpenFile(j.name, os.O_RDWR|os.O_CREATE, 0o644); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = j.file.Close()
		}
	}()
	lines := json.NewDecoder(j.file)
	var first journalLine
	end := int64(0) // of the last whole line: a kill may have cut the one behind it
	switch err := lines.Decode(&first); {
	case err == nil && first.Run == run:
		end = lines.InputOffset()
	case err == nil, !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w (%.200q)", ErrOtherRun, first.Run)
	}
	for end > 0 {
		var line journalLine
		if lines.Decode(&line) != nil {
			break
		}
		end = lines.InputOffset()
		if line.Reached != nil {
			j.reached = *line.Reached
		}
		if line.Failed != "" {
			j.failed[line.Failed] = true
		}
	}
	if err := j.file.Truncate(end); err != nil {
		return err
	}
	if _, err := j.file.Seek(end, io.SeekStart); err != nil {
		return err
	}
	j.out = bufio.NewWriter(j.file)
	if end == 0 {
		j.write(journalLine{Run: run})
	} else {
		_, j.err = j.out.WriteString("\n")
	}
	return j.err
}

// Reached is the time from which an earlier run had not settled everything; zero when there was none.
func (j *Journal) Reached() time.Time { return j.reached }

// Failed are the media with snapshots that failed in an earlier run.
func (j *Journal) Failed() []string { return slices.Sorted(maps.Keys(j.failed)) }

// begin is called before the snapshots of a media are worked on, if there are any.
func (j *Journal) begin(m vod.Media, snapshots int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	defer j.note()
	of := &openMedia{fileID: m.FileID, left: snapshots}
	if !j.failed[m.FileID] {
		of.at, j.last = m.CreateTime, m.CreateTime
	}
	if same := j.byID[m.FileID]; same != nil { // read by its file id as well
		same.left += snapshots
	} else if snapshots > 0 {
		j.byID[m.FileID] = of
		j.open = append(j.open, of)
	}
}

// Done notes what became of one snapshot. An error is the file's.
func (j *Journal) Done(r mirror.Result) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	of := j.byID[r.Snapshot.FileID]
	if of == nil {
		return j.err
	}
	if r.Outcome == mirror.Failed && !of.failed {
		of.failed = true
		j.write(journalLine{Failed: of.fileID})
	}
	if of.left--; of.left == 0 {
		delete(j.byID, of.fileID)
	}
	for len(j.open) > 0 && j.open[0].left == 0 {
		j.open = j.open[1:]
	}
	j.note()
	return j.err
}

// note writes down, now and then, how far it is.
func (j *Journal) note() {
	if time.Since(j.synced) > time.Second {
		j.advance()
		j.sync()
	}
}

// advance writes the time before which everything is settled.
func (j *Journal) advance() {
	to := j.last
	if len(j.open) > 0 {
		to = j.open[0].at
	}
	if to.After(j.reached) {
		j.reached = to
		j.write(journalLine{Reached: &to})
	}
}

func (j *Journal) write(line journalLine) {
	text, err := json.Marshal(line)
	if err == nil {
		_, err = j.out.Write(append(text, '\n'))
	}
	j.fail(err)
}

func (j *Journal) sync() {
	j.fail(j.out.Flush())
	j.fail(j.file.Sync())
	j.synced = time.Now()
}

func (j *Journal) fail(err error) {
	if err != nil && j.err == nil {
		j.err = fmt.Errorf("writing the state file: %w", err)
	}
}

// Close ends the journal. A run that has finished leaves no file: the next one begins anew.
func (j *Journal) Close(finished bool) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.advance()
	j.sync()
	j.fail(j.file.Close())
	if finished && j.err == nil {
		j.fail(os.Remove(j.name))
	}
	_ = j.lock.Unlock()
	return j.err
}
