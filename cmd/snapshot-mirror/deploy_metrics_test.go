package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

var deployFolder = filepath.Join("..", "..", "config", "deploy")

// The dashboard, the alerts and the alerts' tests use only metrics, labels and values of labels that exist.
func TestDeployMetrics(t *testing.T) {
	series := metricSeries(t)
	expressions := append(append(dashboardExpressions(t), alertExpressions(t)...), alertTestSeries(t)...)
	if len(expressions) < 70 {
		t.Fatalf("%d expressions found: has the form of the files changed?", len(expressions))
	}
	for _, e := range expressions {
		checkExpression(t, series, e)
	}
}

// expression is PromQL and what names labels of its result.
type expression struct{ where, promQL, text string }

var (
	metricUse = regexp.MustCompile(`\b((?:snapshot_mirror|go|process)_\w+)(\{[^}]*\})?`)
	matcher   = regexp.MustCompile(`^(\w+)(=~|=|!=|!~)"([^"]*)"$`)
	grouping  = regexp.MustCompile(`\b(?:by|on|without) \(([^)]*)\)`)
	labelUse  = regexp.MustCompile(`\{\{ ?(?:\$labels\.)?([a-z]\w*) ?\}\}`)
)

func checkExpression(t *testing.T, series map[string]labels, e expression) {
	uses := metricUse.FindAllStringSubmatch(e.promQL, -1)
	if len(uses) == 0 {
		t.Errorf("%s: no metric in %s", e.where, e.promQL)
	}
	known := []string{"job", "instance"} // Prometheus's own
	for _, m := range uses {
		name := m[1]
		if series[name] == nil {
			t.Errorf("%s: there is no metric %s", e.where, name)
			continue
		}
		for label := range series[name] {
			known = append(known, label)
		}
		for part := range strings.SplitSeq(strings.Trim(m[2], "{}"), ",") {
			match := matcher.FindStringSubmatch(part)
			switch {
			case part == "":
			case match == nil:
				t.Errorf("%s: %q is no matcher that this test understands", e.where, part)
			case match[1] == "job" || match[1] == "instance":
			default:
				for value := range strings.SplitSeq(match[3], "|") {
					if !slices.Contains(series[name][match[1]], value) {
						t.Errorf("%s: %s has no %s=%q", e.where, name, match[1], value)
					}
				}
			}
		}
	}
	if groups := grouping.FindAllStringSubmatch(e.promQL, -1); groups != nil {
		var kept []string
		for _, group := range groups {
			for label := range strings.SplitSeq(group[1], ",") {
				label = strings.TrimSpace(label)
				kept = append(kept, label)
				if !slices.Contains(known, label) && label != "le" {
					t.Errorf("%s: no metric of %s has a label %s", e.where, e.promQL, label)
				}
			}
		}
		known = kept
	}
	for _, use := range labelUse.FindAllStringSubmatch(e.text, -1) {
		if !slices.Contains(known, use[1]) {
			t.Errorf("%s: %s has no label %s", e.where, e.promQL, use[1])
		}
	}
}

// labels are a metric's labels and the values that they have from the start.
type labels map[string][]string

// metricSeries is every series that a serve has from the start: all labels of ours have a closed set of values.
func metricSeries(t *testing.T) map[string]labels {
	registry := newRegistry()
	counter := newEventCounter(registry)
	for _, source := range []string{"callback", "pull", "enqueue"} {
		counter.from(source)
	}
	newPullMetrics(registry, func() bool { return true })
	log := newLog(cli{}.General, t.Output())
	server, err := queue.OpenEmbedded(t.TempDir(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	q, err := queue.Open(t.Context(), server, queue.Options{Name: "SNAPSHOTS", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	registry.MustRegister(q.Collector())
	folder, err := store.OpenDir(t.TempDir(), true)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mirror.New(folder, mirror.Options{Registerer: registry}); err != nil {
		t.Fatal(err)
	}
	return gathered(t, registry)
}

func gathered(t *testing.T, registry prometheus.Gatherer) map[string]labels {
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]labels{}
	for _, family := range families {
		of := labels{}
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				of[l.GetName()] = append(of[l.GetName()], l.GetValue())
			}
			if m.GetHistogram() != nil {
				for _, end := range []string{"_bucket", "_sum", "_count"} {
					all[family.GetName()+end] = of
				}
			}
		}
		if all[family.GetName()+"_bucket"] == nil {
			all[family.GetName()] = of
		}
	}
	return all
}

func dashboardExpressions(t *testing.T) (all []expression) {
	var dashboard struct {
		Templating struct {
			List []struct {
				Name, Type string
				Query      any
			}
		}
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
	}
	text, err := os.ReadFile(filepath.Join(deployFolder, "grafana", "dashboard.json"))
	if err == nil {
		err = json.Unmarshal(text, &dashboard)
	}
	if err != nil {
		t.Fatal(err)
	}
	variables := []string{"datasource", "__rate_interval"}
	for _, v := range dashboard.Templating.List {
		variables = append(variables, v.Name)
		if query, ok := v.Query.(map[string]any); ok && v.Type == "query" {
			all = append(all, expression{"variable " + v.Name, query["query"].(string), ""})
		}
	}
	for _, v := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(text), -1) {
		if !slices.Contains(variables, v[1]) && v[1] != "__all" {
			t.Errorf("the dashboard has no variable %s", v[1])
		}
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			all = append(all, expression{"panel " + panel.Title, target.Expr, target.LegendFormat})
		}
	}
	return all
}

func alertExpressions(t *testing.T) (all []expression) {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations map[string]string
			}
		}
	}
	readYAML(t, filepath.Join(deployFolder, "prometheus", "alerts.yaml"), &rules)
	tests, err := os.ReadFile(filepath.Join(deployFolder, "prometheus", "alerts_test.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules.Groups[0].Rules {
		text := rule.Annotations["summary"] + rule.Annotations["description"]
		all = append(all, expression{rule.Alert, rule.Expr, text})
		if !regexp.MustCompile(`alertname: ` + rule.Alert + `\n +exp_alerts:`).Match(tests) {
			t.Errorf("no test sees %s fire", rule.Alert)
		}
		if query, ok := strings.CutPrefix(rule.Annotations["description"], "The reasons: "); ok {
			all = append(all, expression{rule.Alert + ": description", query, ""})
		}
	}
	return all
}

func alertTestSeries(t *testing.T) (all []expression) {
	var file struct {
		Tests []struct {
			Name   string
			Series []struct{ Series string } `yaml:"input_series"`
		}
	}
	readYAML(t, filepath.Join(deployFolder, "prometheus", "alerts_test.yaml"), &file)
	for _, test := range file.Tests {
		for _, s := range test.Series {
			all = append(all, expression{"test of alerts: " + test.Name, s.Series, ""})
		}
	}
	return all
}

func readYAML(t *testing.T, name string, v any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err == nil {
		err = yaml.Unmarshal(text, v)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
