package store

// ProbeKey is the one object that a probe writes, below the prefix: always the same, never deleted, a few bytes. No picture can
// have it as its key's first segment.
const ProbeKey = ".snapshot-mirror-probe"
