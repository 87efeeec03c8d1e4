package mirror

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"golang.org/x/sync/semaphore"
)

func mustLend(t *testing.T, b *buffers, n int64) *loan {
	t.Helper()
	l, err := b.lend(t.Context(), n, semaphore.NewWeighted(n))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// An origin's word about its length moves the budget; memory comes as bytes arrive.
func TestLoanMemory(t *testing.T) {
	b := newBuffers(1 << 30)
	for _, test := range []struct {
		lent int64
		want int // the first capacity
	}{{1, minBuffer}, {minBuffer, minBuffer}, {minBuffer + 1, 2 * minBuffer}, {firstBuffer, firstBuffer}, {512 << 20, firstBuffer}} {
		l := mustLend(t, b, test.lent)
		if len(l.mem) != 0 || cap(l.mem) != test.want {
			t.Errorf("lending %d: %d of %d bytes, want 0 of %d", test.lent, len(l.mem), cap(l.mem), test.want)
		}
		l.giveBack()
	}

	l := mustLend(t, b, 8<<20)
	l.mem = append(l.mem, "beginning"...)
	for _, test := range []struct{ to, want int }{{10, firstBuffer}, {firstBuffer + 1, 2 << 20}, {maxPooled, maxPooled}, {maxPooled + 1, maxPooled + 1}} {
		l.grow(test.to)
		if !bytes.Equal(l.mem, []byte("beginning")) || cap(l.mem) < test.to || cap(l.mem) > test.want+8<<10 {
			t.Errorf("grown to %d: %d bytes of %d, want the same bytes of about %d", test.to, len(l.mem), cap(l.mem), test.want)
		}
	}
	l.giveBack()
	if next := mustLend(t, b, 1); len(next.mem) != 0 || cap(next.mem) > maxPooled {
		t.Errorf("the next loan has %d bytes of %d, want none of at most %d", len(next.mem), cap(next.mem), maxPooled)
	}
}

func TestBudget(t *testing.T) {
	b := newBuffers(10)
	wantFree := func(when string, want int64) {
		t.Helper()
		if b.budget.TryAcquire(want + 1) {
			b.budget.Release(want + 1)
			t.Errorf("%s: more than %d bytes are free", when, want)
		}
		if !b.budget.TryAcquire(want) {
			t.Errorf("%s: less than %d bytes are free", when, want)
			return
		}
		b.budget.Release(want)
	}
	l := mustLend(t, b, 6)
	wantFree("lent 6", 4)
	l.shrink(8)
	wantFree("shrunk to more", 4)
	l.shrink(2)
	wantFree("shrunk to 2", 8)
	l.giveBack()
	wantFree("given back", 10)

	all := mustLend(t, b, 10)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.lend(ctx, 1, semaphore.NewWeighted(1)); !errors.Is(err, context.Canceled) {
		t.Errorf("nothing free, and the context ended: %v, want context.Canceled", err)
	}
	all.giveBack()
	wantFree("after an interrupted wait", 10)
}
