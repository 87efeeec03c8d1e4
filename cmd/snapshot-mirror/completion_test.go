package main

import (
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
)

func TestCandidates(t *testing.T) {
	parser, err := kong.New(&cli{}, kong.Name("snapshot-mirror"))
	if err != nil {
		t.Fatal(err)
	}
	levels := []string{"debug", "info", "warn", "error"}
	for _, test := range []struct {
		name  string
		words []string
		want  []string
	}{
		{"a command", []string{"bac"}, []string{"backfill"}},
		{"a command behind a flag with a value", []string{"--log-level", "debug", "chec"}, []string{"check"}},
		{"a command of a command", []string{"failed", ""}, []string{"list", "retry", "discard"}},
		{"a flag", []string{"backfill", "--bytes"}, []string{"--bytes-in-flight"}},
		{"a flag of every command", []string{"failed", "list", "--log-f"}, []string{"--log-format"}},
		{"no flag of another command", []string{"failed", "list", "--bytes"}, nil},
		{"a value", []string{"backfill", "--log-level", ""}, levels},
		{"a value behind =", []string{"backfill", "--log-level=d"}, []string{"--log-level=debug"}},
		{"a value behind =, in bash's words", []string{"backfill", "--log-level", "=", "d"}, []string{"debug"}},
		{"any value behind =, in bash's words", []string{"backfill", "--log-level", "="}, levels},
		{"a reason", []string{"failed", "retry", "--reason", "source_m"}, []string{"source_missing"}},
		{"an argument", []string{"completion", "f"}, []string{"fish"}},
		{"one argument only", []string{"completion", "fish", ""}, nil},
		{"a file", []string{"backfill", "--dry-run", "ev"}, nil},
		{"a file as a value", []string{"backfill", "--report", ""}, nil},
		{"a file that looks like a flag", []string{"backfill", "--", "--log"}, nil},
		{"nothing of an unknown flag", []string{"backfill", "--nonsense=x"}, nil},
		{"nothing at all", nil, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, c := range candidates(parser.Model.Node, test.words) {
				got = append(got, c.word)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
