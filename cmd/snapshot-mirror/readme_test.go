package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue"
	"github.com/snapshot-mirror/snapshot-mirror/store"
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
	for table, rows := range map[string]string{
		"settings": settingsTable(t), "reasons": reasonsTable(), "exit codes": exitCodeTable(), "metrics": metricsTable(t), "outcomes": outcomesTable(), "findings": findingsTable(), "pull ends": pullEndsTable(),
	} {
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

// settingsTable tells of each setting once, with the commands that have it.
func settingsTable(t *testing.T) string {
	parser, err := kong.New(&cli{}, kong.Name("snapshot-mirror"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	flags, commands, helps := map[string]*kong.Flag{}, map[string][]string{}, map[string]string{}
	collect := func(node *kong.Node, command string) {
		for _, f := range node.Flags {
			if f.Name == "help" {
				continue
			}
			if flags[f.Name] == nil {
				names, flags[f.Name] = append(names, f.Name), f
			}
			help := strings.ReplaceAll(f.Help, "${enum}", strings.ReplaceAll(f.Enum, ",", ", "))
			switch {
			case helps[f.Name] == "":
				helps[f.Name] = help
			case !strings.Contains(helps[f.Name], help): // the same word for something else
				helps[f.Name] += " Of " + command + ": " + help
			}
			if list := commands[f.Name]; len(list) == 0 || list[len(list)-1] != command {
				commands[f.Name] = append(list, command)
			}
		}
	}
	collect(parser.Model.Node, "all")
	for _, command := range parser.Model.Children {
		collect(command, command.Name)
		for _, sub := range command.Children {
			collect(sub, command.Name)
		}
	}
	var b strings.Builder
	b.WriteString("| flag | environment | default | of | |\n|---|---|---|---|---|\n")
	for _, name := range names {
		f, def := flags[name], ""
		if f.HasDefault {
			def = "`" + f.Default + "`"
		}
		fmt.Fprintf(&b, "| `--%s` | `%s` | %s | %s | %s |\n", name, config.EnvName(name), def, strings.Join(commands[name], ", "), helps[name])
	}
	return b.String()
}

// metricsTable tells of each metric of our own.
func metricsTable(t *testing.T) string {
	registry := newRegistry()
	newEventCounter(registry)
	newPullMetrics(registry, func() bool { return true })
	registry.MustRegister((&queue.Queue{}).Collector())
	folder, err := store.OpenDir(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.New(folder, mirror.Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	descs := make(chan *prometheus.Desc)
	go func() { registry.Describe(descs); close(descs) }()
	parts := regexp.MustCompile(`^Desc\{fqName: "(snapshot_mirror_\w+)", help: "(.*?)", .*constLabels: \{\}, variableLabels: \{(.*)\}\}$`)
	var rows []string
	for desc := range descs {
		if m := parts.FindStringSubmatch(desc.String()); m != nil {
			rows = append(rows, fmt.Sprintf("| `%s` | %s | %s |\n", m[1], strings.ReplaceAll(m[3], ",", ", "), m[2]))
		}
	}
	if len(rows) < 10 {
		t.Fatalf("%d metrics found: has the form of their descriptions changed?", len(rows))
	}
	slices.Sort(rows)
	return "| metric | labels | |\n|---|---|---|\n" + strings.Join(rows, "")
}

// table writes a row for each element; head names the columns.
func table[T any](head []string, elements []T, row func(T) []any) string {
	line := strings.Repeat("| %v ", len(head)) + "|\n"
	var b strings.Builder
	b.WriteString("| " + strings.Join(head, " | ") + " |\n" + strings.Repeat("|---", len(head)) + "|\n")
	for _, e := range elements {
		fmt.Fprintf(&b, line, row(e)...)
	}
	return b.String()
}

func code[T ~string](s T) string { return "`" + string(s) + "`" }

func outcomesTable() string {
	return table([]string{"outcome", "meaning"}, intake.EventOutcomes, func(o struct {
		Outcome intake.EventOutcome
		Meaning string
	}) []any {
		return []any{code(o.Outcome), o.Meaning}
	})
}

func pullEndsTable() string {
	return table([]string{"end", "meaning"}, intake.PullEnds, func(e struct {
		End     intake.PullEnd
		Meaning string
	}) []any {
		return []any{code(e.End), e.Meaning}
	})
}

func findingsTable() string {
	return table([]string{"found", "`--repair`", "meaning"}, mirror.Findings, func(f mirror.FindingInfo) []any {
		repair := string(f.Repair)
		if f.Right() {
			repair = "right"
		}
		return []any{code(f.Finding), repair, f.Meaning}
	})
}

func reasonsTable() string {
	return table([]string{"reason", "try again", "meaning"}, mirror.Reasons, func(r mirror.ReasonInfo) []any {
		return []any{code(r.Reason), r.Retry, r.Meaning}
	})
}

func exitCodeTable() string {
	return table([]string{"code", "meaning"}, exitCodes, func(c exitCode) []any { return []any{c.code, c.meaning} })
}
