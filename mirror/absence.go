package mirror

import "sync/atomic"

// absence spares looks at the store where nothing is found for long: then a put that must not meet an object does the looking. It
// costs a picture fetched in vain when there is one, and so is presumed no more for a while.
type absence struct{ streak atomic.Int64 }

const absenceStreak = 64

func (a *absence) seen(absent bool) {
	if absent {
		a.streak.Add(1)
	} else {
		a.streak.Store(0)
	}
}

func (a *absence) presumed(s Store) bool { return a.streak.Load() >= absenceStreak && s.Excludes() }
