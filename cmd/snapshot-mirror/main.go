// Command snapshot-mirror copies the snapshots that Tencent Cloud VOD announces into your own bucket, each proven whole.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		signal.Reset() // before anybody is told: from now on, a signal kills
		cancel()       // the first one ends the work in good order
	}()
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

const (
	exitOK          = 0
	exitCannotRun   = 1
	exitUsage       = 2
	exitFailed      = 3
	exitInterrupted = 130
)

// exitCode is a row of exitCodes.
type exitCode struct {
	code    int
	meaning string
}

// exitCodes are what the README and scripts rely on.
var exitCodes = []exitCode{
	{exitOK, "all snapshots are mirrored, or were there already; `verify`: all is right, or has been repaired; `serve`: stopped by a signal, in good order"},
	{exitCannotRun, "could not run, or ended early: the destination, the queue or `serve` is down or refuses us, the disk is full; run the same command again when that is mended (`serve` itself waits for its destination)"},
	{exitUsage, "usage or settings are wrong; nothing was done"},
	{exitFailed, "finished, but some snapshots failed or some input was malformed; `verify`: something is not right"},
	{exitInterrupted, "interrupted by a signal; run the same command again to resume"},
}

// exitError ends the program with a code. Err is printed unless it is nil, and so is what to do about it.
type exitError struct {
	code int
	err  error
	hint string
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

// againHint is for work that goes on where it has ended.
const againHint = "run the same command again: what is there already is skipped"

func interruptedError() error {
	return &exitError{exitInterrupted, errors.New("interrupted"), againHint}
}

func usageError(err error, hint string) error { return &exitError{exitUsage, err, hint} }

// cli is the command line; the settings are config's.
type cli struct {
	config.General
	Backfill backfillCommand `cmd:"" help:"Mirror the snapshots that event files announce, then exit."`
	Serve    serveCommand    `cmd:"" help:"Take VOD's callbacks, keep them in a durable queue, and mirror what they announce, for ever."`
	Verify   verifyCommand   `cmd:"" help:"Look whether the pictures that events announce are there, whole; mend what is not."`
	Failed   failedCommand   `cmd:"" help:"Look at the snapshots that a running serve has given up; try them again or drop them."`
	Check    checkCommand    `cmd:"" help:"Look at settings, destination and VOD's API, and say what is wrong with them."`
	Demo     demoCommand     `cmd:"" help:"Show the whole thing on this machine: an image origin, events, a folder of pictures."`
	Version  versionCommand  `cmd:"" help:"Print the version."`

	Completion completionCommand `cmd:"" help:"Print the script that makes your shell complete commands, flags and values."`
}

// app is what commands get from main.
type app struct {
	ctx            context.Context // done at the first signal: begin nothing more
	lookup         func(string) string
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *slog.Logger
	logTo          *switchWriter // where log writes
}

func run(ctx context.Context, args, environ []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c cli
	helped := false
	parser, err := kong.New(&c,
		kong.Name("snapshot-mirror"),
		kong.Description("Copies the snapshots that Tencent Cloud VOD announces into your own bucket or directory, each proven whole.\n\n"+
			"Every setting is a flag, an environment variable SNAPSHOT_MIRROR_<FLAG> and a key of the --config file."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(int) { helped = true }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 120}),
		kong.ValueFormatter(helpOf),
	)
	if err != nil {
		return report(stderr, err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	if args[0] == completeWord {
		complete(parser.Model, args[1:], stdout)
		return exitOK
	}
	parsed, err := parse(parser, args, environ)
	if helped {
		return exitOK
	}
	if err != nil {
		return report(stderr, usageError(err, "see "+helpFor(parser, args)))
	}
	a := &app{ctx: ctx, lookup: lookupIn(environ), stdin: stdin, stdout: stdout, stderr: stderr, logTo: &switchWriter{w: stderr}}
	a.log = newLog(c.General, a.logTo)
	slog.SetDefault(a.log) // Tencent's SDK tells of credentials that it can't renew through the standard log
	err = parsed.Run(a)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = interruptedError() // before there was anything to finish
	}
	return report(stderr, err)
}

// helpOf adds the default to a setting's help where a placeholder stands in its place.
func helpOf(v *kong.Value) string {
	help := kong.DefaultHelpValueFormatter(v)
	if v.HasDefault && v.Flag != nil && v.Flag.PlaceHolder != "" && v.Flag.PlaceHolder != v.Default {
		help += " Default: " + v.Default + "."
	}
	return help
}

// parse reads flags, environment and file. The environment and the file are read whatever the command, so that a wrong name is
// always told.
func parse(parser *kong.Kong, args, environ []string) (*kong.Context, error) {
	if slices.Contains(args, "--help") || slices.Contains(args, "-h") {
		return parser.Parse(args) // help is for those whose settings are wrong, too
	}
	trace, err := kong.Trace(parser, args)
	if err != nil {
		return nil, err
	}
	filename := ""
	for _, f := range trace.Flags() {
		if value, ok := trace.FlagValue(f).(string); ok && f.Name == "config" {
			filename = value
		}
	}
	sources, err := config.Load(parser.Model, environ, filename)
	if err != nil {
		return nil, err
	}
	if err := kong.Resolvers(sources).Apply(parser); err != nil {
		return nil, err
	}
	return parser.Parse(args)
}

// helpFor names the help that fits the command that was tried.
func helpFor(parser *kong.Kong, args []string) string {
	for _, command := range parser.Model.Children {
		if len(args) > 0 && args[0] == command.Name {
			return "snapshot-mirror " + command.Name + " --help"
		}
	}
	return "snapshot-mirror --help"
}

// report prints the error that ends the program, and gives its exit code.
func report(stderr io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code, hint := exitCannotRun, ""
	if e, ok := errors.AsType[*exitError](err); ok {
		code, hint = e.code, e.hint
		if e.err == nil {
			return code
		}
	}
	if hint == "" {
		hint = hintOf(err)
	}
	fmt.Fprintf(stderr, "snapshot-mirror: error: %s\n", oneLine(err.Error()))
	if hint != "" {
		fmt.Fprintf(stderr, "snapshot-mirror: hint: %s\n", hint)
	}
	return code
}

// hintOf is what the error of a destination or of VOD's API advises, or "".
func hintOf(err error) string {
	if e, ok := errors.AsType[*store.Error](err); ok {
		return e.Hint
	}
	if e, ok := errors.AsType[*vod.APIError](err); ok {
		return e.Hint
	}
	return ""
}

// oneLine keeps control characters in a stranger's text away from the terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return ' '
		}
		return r
	}, s)
}

func lookupIn(environ []string) func(string) string {
	values := make(map[string]string, len(environ))
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		values[name] = value
	}
	return func(name string) string { return values[name] }
}

// newLog makes the program's one logger.
func newLog(g config.General, w io.Writer) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(g.LogLevel)) // an enum of the settings
	options := &slog.HandlerOptions{Level: level}
	if g.LogFormat == "json" {
		options.ReplaceAttr = func(_ []string, a slog.Attr) slog.Attr {
			if a.Value.Kind() == slog.KindDuration {
				return slog.Float64(a.Key, a.Value.Duration().Seconds()) // as in reports; slog would write nanoseconds
			}
			return a
		}
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}

// switchWriter lets log lines go above the progress bar while there is one.
type switchWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *switchWriter) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(b)
}

func (s *switchWriter) to(w io.Writer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.w = w
}
