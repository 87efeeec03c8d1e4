package mirror

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
)

func TestKeyLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var k keyLock
		lock := func(ctx context.Context, key string) func() {
			unlock, err := k.lock(ctx, key)
			if err != nil {
				t.Error(err)
				return func() {}
			}
			return unlock
		}
		unlock := lock(t.Context(), "a")
		lock(t.Context(), "b")() // another key is free

		got := false
		go func() {
			defer lock(t.Context(), "a")()
			got = true
		}()
		ctx, cancel := context.WithCancel(t.Context())
		var interrupted error
		go func() { _, interrupted = k.lock(ctx, "a") }()

		synctest.Wait()
		if got || interrupted != nil {
			t.Fatalf("got the key: %t, interrupted: %v; want both to wait", got, interrupted)
		}
		cancel()
		synctest.Wait()
		if got || !errors.Is(interrupted, context.Canceled) {
			t.Errorf("got the key: %t, interrupted: %v; want the second to end alone", got, interrupted)
		}
		unlock()
		synctest.Wait()
		if !got || len(k.held) != 0 {
			t.Errorf("got the key: %t, and %d keys are remembered, want none", got, len(k.held))
		}
	})
}

func TestKeyLockExcludes(t *testing.T) {
	var k keyLock
	var wait sync.WaitGroup
	n := 0 // the race detector watches too
	for range 8 {
		wait.Go(func() {
			for range 200 {
				unlock, err := k.lock(t.Context(), "key")
				if err != nil {
					t.Error(err)
					return
				}
				n++
				unlock()
			}
		})
	}
	wait.Wait()
	if n != 1600 || len(k.held) != 0 {
		t.Errorf("%d turns and %d keys remembered, want 1600 and none", n, len(k.held))
	}
}
