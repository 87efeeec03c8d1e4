package deploy

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
)

// No panel of the dashboard covers another. (Its queries are checked by promtool, in .ci/run, and their metrics by a test in cmd.)
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
		}
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for i, panel := range dashboard.Panels {
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
}
