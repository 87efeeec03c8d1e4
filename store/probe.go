package store

// ProbeKey is the one object that [S3.Probe] writes, below the prefix: always the same, a few bytes, overwritten each time and
// never deleted. No picture's key can begin with it. A directory's is .snapshot-mirror/probe.
const ProbeKey = ".snapshot-mirror-probe"

// Finding is one thing that a probe has found out about a store.
type Finding struct {
	// Name is what was looked at, in a few lower-case words: "list", "conditional put". Names and order are the same for each
	// bucket, as far as the probe gets, and for each directory.
	Name string
	// OK says that nothing here keeps snapshot-mirror from its work.
	OK bool
	// Value is what was found, in a few words on one line: "honoured", or an error's text.
	Value string
	// Hint is what to do about it, or what it means for whoever runs snapshot-mirror; "" where there is nothing to say. It may be
	// set with OK too.
	Hint string
}

// What a service makes of something that it need not know.
const (
	honoured = "honoured"
	ignored  = "ignored"
	unknown  = "not known to the service"
)

const probeText = "snapshot-mirror wrote this to find out what is possible here. It is overwritten each time, and may be deleted.\n"
