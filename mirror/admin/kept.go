package admin

import (
	"context"
	"sync"
	"time"
)

// kept is a value that costs something to get. However many ask for it, it is got by one at a time and used for a while; who asks
// soon after that is not kept waiting for the next one.
type kept[T any] struct {
	get func(context.Context) T
	// fresh is how long it is used at least. What takes long is used 20 times as long as it took.
	fresh time.Duration

	mu      sync.Mutex
	value   *T // nil until it was got
	begun   time.Time
	took    time.Duration
	running chan struct{} // closed when it has been got; nil while nobody gets it
	stale   bool          // what is being got is old already
}

// keptTimeout bounds getting it.
const keptTimeout = 5 * time.Second

// now gives the value, or false when ctx ended first.
func (k *kept[T]) now(ctx context.Context) (value T, ok bool) {
	for {
		k.mu.Lock()
		age, fresh := time.Since(k.begun), max(k.fresh, 20*k.took)
		if (k.value == nil || age > fresh) && k.running == nil {
			k.running = make(chan struct{})
			go k.renew()
		}
		have, running := k.value, k.running
		k.mu.Unlock()
		if have != nil && age < 4*fresh {
			return *have, true
		}
		select {
		case <-running:
		case <-ctx.Done():
			return value, false
		}
	}
}

func (k *kept[T]) renew() {
	ctx, cancel := context.WithTimeout(context.Background(), keptTimeout)
	defer cancel()
	begun := time.Now()
	value := k.get(ctx)
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.stale {
		k.value, k.begun, k.took = &value, begun, time.Since(begun)
	}
	close(k.running)
	k.running, k.stale = nil, false
}

// forget says that the value has changed.
func (k *kept[T]) forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.value, k.stale = nil, k.running != nil
}
