package mirror

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

func hexCRC32C(sum uint32) string { return fmt.Sprintf("%08x", sum) }

// read reads an object that is said to have size bytes, and whose record has been found to be as is.
func (v *Verifier) read(ctx context.Context, r *Result, size int64, is verdict) (verdict, error) {
	if limit := v.worker.options.MaxImageSize; size > limit {
		return verdict{}, failf(TooLarge, "the object has %d bytes, more than the %d of --max-image-size", size, limit)
	}
	loan, err := v.worker.fetcher.buffers.lend(ctx, max(size, 1), v.part)
	if err != nil {
		return verdict{}, err
	}
	defer loan.giveBack()
	loan.grow(int(size)) // the store's word, not a stranger's
	body := loan.mem[:0]
	content, err := v.stream(ctx, r, size, func(b []byte) { body = append(body, b...) })
	if err != nil || content.why != nil {
		return content, err
	}
	if _, err := recogniseImage(body); err != nil {
		found := Changed
		if f, ok := asFailure(err); ok && f.Reason == Incomplete {
			found = Truncated
		}
		return verdict{found, fmt.Errorf("in the object: %w", err)}, nil
	}
	return is, nil
}

// compare fetches the picture from its origin and reads the object beside it. A picture that is equal to a proven one needs no proof.
func (v *Verifier) compare(ctx context.Context, r *Result, is verdict) (verdict, error) {
	if err := r.Snapshot.Validate(); err != nil { // as when the record has no URL
		return verdict{}, &Failure{Reason: BadSnapshot, Err: err}
	}
	f := fetch{fetcher: &v.worker.fetcher, ctx: ctx}
	defer f.release()
	err := f.get(r.Snapshot.URL)
	r.Attempts += f.attempts
	if err != nil {
		return verdict{}, err
	}
	rest, same := f.picture.body, true
	content, err := v.stream(ctx, r, -1, func(b []byte) {
		same = same && bytes.HasPrefix(rest, b)
		if same {
			rest = rest[len(b):]
		}
	})
	switch {
	case err != nil || content.why != nil:
		return content, err
	case !same || len(rest) > 0:
		return verdict{SourceDiffers, fmt.Errorf("the origin has a picture of %d bytes, with CRC32C %s", len(f.picture.body), hexCRC32C(f.picture.crc32c))}, nil
	}
	return is, nil
}

// stream hands an object's bytes on, in pieces that are valid until take returns, and holds them against the recorded checksum, if
// there is one. The object must have size bytes, unless that is -1.
func (v *Verifier) stream(ctx context.Context, r *Result, size int64, take func([]byte)) (verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, v.worker.options.AttemptTimeout)
	defer cancel()
	reading, err := v.pictures.Open(ctx, r.Key)
	if err != nil {
		return verdict{}, err
	}
	defer reading.Close()
	if size >= 0 && reading.Size != size {
		return verdict{}, &store.Error{Kind: store.Unavailable, Op: "reading", Key: r.Key, Err: errors.New("it is being replaced")}
	}
	buffer := make([]byte, min(32<<10, max(reading.Size, 1)))
	sum, left := uint32(0), reading.Size
	for left > 0 {
		n, err := reading.Read(buffer[:min(int64(len(buffer)), left)])
		sum = crc32.Update(sum, crc32cTable, buffer[:n])
		take(buffer[:n])
		left -= int64(n)
		if err == io.EOF && left > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return verdict{}, fmt.Errorf("reading %q: %w", r.Key, err)
		}
	}
	r.Bytes = reading.Size
	if want := reading.Metadata[metaCRC32C]; want != "" && want != hexCRC32C(sum) {
		return verdict{Changed, fmt.Errorf("the object's CRC32C is %s, recorded is %q", hexCRC32C(sum), clip(want, 24))}, nil
	}
	return verdict{found: Whole}, nil
}
