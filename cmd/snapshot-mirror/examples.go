package main

// The examples of --help. TestHelpExamples runs each as it is written.

// Help implements kong.HelpProvider.
func (backfillCommand) Help() string {
	return `Examples. Event files into a directory, which needs no service:

  snapshot-mirror backfill --to ./pictures events/

Into a bucket; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL_S3 say which:

  snapshot-mirror backfill --to s3://my-bucket/snapshots events.ndjson.gz

What would be done; then with a report, and what failed kept; then that again:

  snapshot-mirror backfill --dry-run events/
  snapshot-mirror backfill --report report.ndjson --failed failed.ndjson events/
  snapshot-mirror backfill --failed failed.ndjson failed.ndjson

From a pipe, with a line of JSON for each snapshot:

  zcat events.ndjson.gz | snapshot-mirror backfill --json - > results.ndjson

The fourth of sixteen shares, in an array job:

  snapshot-mirror backfill --shard 3/16 --to s3://my-bucket events/

Without events, what VOD has of the last two hours; TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY are the credentials:

  snapshot-mirror backfill --from-vod --vod-sub-app-id 1500000000 --since 2h --to s3://my-bucket`
}

// Help implements kong.HelpProvider.
func (serveCommand) Help() string {
	return `Examples. Callbacks on this machine into a directory, which needs no service:

  snapshot-mirror serve --to ./pictures

Into a bucket, and with a secret in the path of the callback, http://127.0.0.1:8080/callback/SECRET:

  SNAPSHOT_MIRROR_CALLBACK_SECRET=3e1f5a90c2 snapshot-mirror serve --to s3://my-bucket

Without callbacks, pulling VOD's events:

  snapshot-mirror serve --pull --vod-sub-app-id 1500000000 --listen off --to s3://my-bucket`
}

// Help implements kong.HelpProvider.
func (verifyCommand) Help() string {
	return `Without --read and --source, each picture costs one look at what the destination says of it (a HEAD): that proves that an
object is there, of the recorded size, and recorded as the picture of its key. That its bytes are still those that were stored,
only --read proves, and that the origin has the same, --source. Nothing is ever removed. The exit code is 3 when something is
not right and was not repaired.

Examples. Is everything there that the events announce?

  snapshot-mirror verify --to s3://my-bucket/snapshots events/

Look at every byte, with a line of JSON for each picture; then mirror again what is missing or wrong:

  snapshot-mirror verify --read --report verified.ndjson --to s3://my-bucket/snapshots events.ndjson.gz
  snapshot-mirror verify --read --repair --to s3://my-bucket/snapshots events.ndjson.gz

Is each object what its own record says, without any events; those of one video; against the origins:

  snapshot-mirror verify --all --read --to s3://my-bucket/snapshots
  snapshot-mirror verify --prefix video-7/ --to ./pictures
  snapshot-mirror verify --source --to ./pictures events/`
}

// Help implements kong.HelpProvider.
func (failedCommand) Help() string {
	return `Examples. A table of them; those of a reason, as events for backfill:

  snapshot-mirror failed list
  snapshot-mirror failed list --json --reason source_missing > failed.ndjson

Try those of the last two days again; give up those of a video that is gone:

  snapshot-mirror failed retry --reason source_missing --newer-than 48h
  snapshot-mirror failed discard --file-id 5285890780000000001`
}

// Help implements kong.HelpProvider.
func (checkCommand) Help() string {
	return `Examples. A directory; a bucket, with a line of JSON for each finding; the reliable callback as well:

  snapshot-mirror check --to ./pictures
  snapshot-mirror check --to s3://my-bucket --json
  snapshot-mirror check --to s3://my-bucket --pull --vod-sub-app-id 1500000000`
}

// Help implements kong.HelpProvider.
func (demoCommand) Help() string {
	return `Examples. Into ./mirrored; into a bucket:

  snapshot-mirror demo
  snapshot-mirror demo --to s3://my-bucket/demo`
}

// Help implements kong.HelpProvider.
func (completionCommand) Help() string {
	return `For ~/.bashrc:

  source <(snapshot-mirror completion bash)

For ~/.zshrc, behind compinit:

  source <(snapshot-mirror completion zsh)

For ~/.config/fish/config.fish:

  snapshot-mirror completion fish | source`
}
