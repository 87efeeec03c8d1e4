package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"
)

// Prometheus's own parser takes the dashboard's queries, and no panel covers another.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(folder, "grafana", "dashboard.json"))
	if err != nil {
		t.Fatal(err)
	}
	type place struct{ X, Y, W, H int }
	var dashboard struct {
		Panels []struct {
			ID      int
			Title   string
			GridPos place
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$queue", "max")
	queries := 0
	for i, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries++
			if _, err := parser.NewParser(parser.Options{}).ParseExpr(variables.Replace(target.Expr)); err != nil {
				t.Errorf("%s: %v", panel.Title, err)
			}
		}
		a := panel.GridPos
		for _, other := range dashboard.Panels[:i] {
			b := other.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H || panel.ID == other.ID {
				t.Errorf("%q and %q are in one place, or have one id", panel.Title, other.Title)
			}
		}
		if a.X+a.W > 24 {
			t.Errorf("%q is too wide", panel.Title)
		}
	}
	if queries < 25 {
		t.Errorf("%d queries found", queries)
	}
}
