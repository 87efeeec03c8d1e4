package mirror

import (
	"context"
	"sync"
)

// keyLock lets one worker at a time have a key. Without it, two definitions of one key that arrive together would both find
// the key free, and the second would silently overwrite the first.
type keyLock struct {
	mu   sync.Mutex
	held map[string]*keyHold
}

type keyHold struct {
	free    chan struct{} // holds one token while nobody works on the key
	waiting int
}

// lock waits for the key and gives the function that frees it, or the context's error, or errStopped.
func (k *keyLock) lock(ctx context.Context, key string) (unlock func(), _ error) {
	k.mu.Lock()
	h := k.held[key]
	if h == nil {
		h = &keyHold{free: make(chan struct{}, 1)}
		h.free <- struct{}{}
		if k.held == nil {
			k.held = make(map[string]*keyHold)
		}
		k.held[key] = h
	}
	h.waiting++
	k.mu.Unlock()

	leave := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if h.waiting--; h.waiting == 0 {
			delete(k.held, key)
		}
	}
	came, err := placeOf(ctx).aside(ctx, h.free)
	if err != nil {
		if came {
			h.free <- struct{}{}
		}
		leave()
		return nil, err
	}
	return func() { h.free <- struct{}{}; leave() }, nil
}
