package mirror

import "time"

// Letter is what is known of a snapshot that has failed: a dead letter when it was given up.
type Letter struct {
	Snapshot
	// ID names the letter among those of its queue, in letters, digits, - and _. The queue gives it when it is asked for letters.
	ID string `json:"id,omitempty"`
	// Reason and Error are those of the last failure. Error holds no query string; the snapshot's URL may.
	Reason Reason `json:"reason"`
	Error  string `json:"error"`
	// First and Last are the times of the first and the last failure.
	First time.Time `json:"first"`
	Last  time.Time `json:"last"`
	// Attempts is how often it was tried and failed, apart from failures of the store.
	Attempts int `json:"attempts"`
}

// LetterFilter chooses letters. Its zero value chooses all.
type LetterFilter struct {
	Reason Reason // "" is any
	FileID string // "" is any
	ID     string // "" is any
	// OlderThan and NewerThan are ages of the last failure; 0 does not choose.
	OlderThan, NewerThan time.Duration
}

// Matches says whether the filter chooses the letter.
func (f LetterFilter) Matches(l Letter) bool {
	age := time.Since(l.Last)
	return (f.Reason == "" || f.Reason == l.Reason) && (f.FileID == "" || f.FileID == l.FileID) && (f.ID == "" || f.ID == l.ID) &&
		(f.OlderThan == 0 || age > f.OlderThan) && (f.NewerThan == 0 || age < f.NewerThan)
}
