package mirror

import (
	"context"
	"math/bits"
	"sync"

	"golang.org/x/sync/semaphore"
)

// buffers lends out memory for pictures under one budget of bytes for the whole process.
type buffers struct {
	budget *semaphore.Weighted
	pool   sync.Pool // of *[]byte, length 0
}

const (
	// firstBuffer is what is allocated at most on an origin's mere word about its length; more comes as bytes arrive.
	firstBuffer = 1 << 20
	minBuffer   = 32 << 10
	// maxPooled keeps the odd giant from staying in memory for ever.
	maxPooled = 4 << 20
)

func newBuffers(budget int64) *buffers {
	return &buffers{budget: semaphore.NewWeighted(budget)}
}

// lend waits until n bytes of the budget are free, and of the part of it that one host may have. The loan must be given back
// exactly once.
func (b *buffers) lend(ctx context.Context, n int64, part *semaphore.Weighted) (*loan, error) {
	if err := part.Acquire(ctx, n); err != nil {
		return nil, err
	}
	if err := b.budget.Acquire(ctx, n); err != nil {
		part.Release(n)
		return nil, err
	}
	l := &loan{from: b, part: part, held: n}
	if mem, ok := b.pool.Get().(*[]byte); ok {
		l.mem = *mem
	}
	l.grow(int(min(n, firstBuffer)))
	return l, nil
}

// loan is a buffer of up to held bytes.
type loan struct {
	from *buffers
	part *semaphore.Weighted
	held int64
	mem  []byte
}

// grow makes room for n bytes in all. Sizes that are pooled are rounded up, by a quarter or to the next minBuffer, so that a buffer
// fits the next picture too.
func (l *loan) grow(n int) {
	if n = max(n, minBuffer); cap(l.mem) >= n {
		return
	}
	if n <= maxPooled {
		step := max(minBuffer, 1<<(bits.Len(uint(n-1))-3))
		n = (n + step - 1) / step * step
	}
	bigger := make([]byte, len(l.mem), n)
	copy(bigger, l.mem)
	l.mem = bigger
}

// shrink gives back what was held beyond n bytes.
func (l *loan) shrink(n int64) {
	if n < l.held {
		l.release(l.held - n)
		l.held = n
	}
}

// giveBack ends the loan. Nobody may be reading the memory any more: it is lent again.
func (l *loan) giveBack() {
	if cap(l.mem) <= maxPooled {
		mem := l.mem[:0]
		l.from.pool.Put(&mem)
	}
	l.mem = nil
	l.release(l.held)
}

func (l *loan) release(n int64) {
	l.from.budget.Release(n)
	l.part.Release(n)
}
