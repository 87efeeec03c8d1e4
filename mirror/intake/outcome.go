package intake

// EventOutcome is what became of an event or a request. The set is closed: [EventOutcomes].
type EventOutcome string

// The outcomes; what each means stands in [EventOutcomes].
const (
	EventQueued       EventOutcome = "queued"
	EventForeign      EventOutcome = "foreign"
	EventMalformed    EventOutcome = "malformed"
	EventTooLarge     EventOutcome = "too_large"
	EventUnauthorized EventOutcome = "unauthorized"
	EventRefused      EventOutcome = "refused"
	EventAborted      EventOutcome = "aborted"
)

// EventOutcomes is the one table of them. An event that is sent again is counted again.
var EventOutcomes = []struct {
	Outcome EventOutcome
	Meaning string
}{
	{EventQueued, "an event whose snapshots are in the queue"},
	{EventForeign, "an event without snapshots for us: of another type, or with nothing but snapshots that VOD announces as failed, or that --include and --exclude leave out"},
	{EventMalformed, "a piece of a body, or a body, that is no event, or an event with items that can't be named"},
	{EventTooLarge, "a request whose body is larger than the limit"},
	{EventUnauthorized, "a request that did not pass authentication"},
	{EventRefused, "a request answered 503: the queue failed or is too slow, or memory is short"},
	{EventAborted, "a request whose body never came to its end"},
}
