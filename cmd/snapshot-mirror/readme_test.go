package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

var update = flag.Bool("update", false, "write the README's generated tables")

// The README's tables are made from the code. After a change: go test ./cmd/snapshot-mirror -run Readme -update
func TestReadmeTables(t *testing.T) {
	name := filepath.Join("..", "..", "README.md")
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	want := string(text)
	for table, rows := range map[string]string{"settings": settingsTable(t), "reasons": reasonsTable(), "exit codes": exitCodeTable()} {
		begin, end := "<!-- "+table+": generated -->\n", "<!-- end -->"
		before, rest, found := strings.Cut(want, begin)
		_, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("the README has no place for the table of %s", table)
		}
		want = before + begin + rows + end + after
	}
	if *update {
		if err := os.WriteFile(name, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("the README's tables are not what the code says (-want +got); run this test with -update:\n%s", diff)
	}
}

func settingsTable(t *testing.T) string {
	parser, err := kong.New(&cli{}, kong.Name("snapshot-mirror"))
	if err != nil {
		t.Fatal(err)
	}
	flags := parser.Model.Flags
	for _, command := range parser.Model.Children {
		if command.Name == "backfill" {
			flags = append(flags, command.Flags...)
		}
	}
	var b strings.Builder
	b.WriteString("| flag | environment | default | |\n|---|---|---|---|\n")
	for _, f := range flags {
		if f.Name == "help" {
			continue
		}
		def := ""
		if f.HasDefault {
			def = "`" + f.Default + "`"
		}
		help := strings.ReplaceAll(f.Help, "${enum}", strings.ReplaceAll(f.Enum, ",", ", "))
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s |\n", f.Name, config.EnvName(f.Name), def, help)
	}
	return b.String()
}

func reasonsTable() string {
	var b strings.Builder
	b.WriteString("| reason | try again | meaning |\n|---|---|---|\n")
	for _, r := range mirror.Reasons {
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", r.Reason, r.Retry, r.Meaning)
	}
	return b.String()
}

func exitCodeTable() string {
	var b strings.Builder
	b.WriteString("| code | meaning |\n|---|---|\n")
	for _, c := range exitCodes {
		fmt.Fprintf(&b, "| %d | %s |\n", c.code, c.meaning)
	}
	return b.String()
}
