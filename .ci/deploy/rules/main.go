// Command rules prints the queries of a dashboard, on standard input, as recording rules, for promtool to check.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"strings"
)

type rule struct {
	Record string `json:"record"`
	Expr   string `json:"expr"`
}

type group struct {
	Name  string `json:"name"`
	Rules []rule `json:"rules"`
}

func main() {
	var dashboard struct {
		Panels []struct {
			ID      int
			Targets []struct{ Expr string }
		}
	}
	if err := json.NewDecoder(os.Stdin).Decode(&dashboard); err != nil {
		log.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5m", "$queue", "max")
	g := group{Name: "dashboard"}
	for _, panel := range dashboard.Panels {
		for i, target := range panel.Targets {
			g.Rules = append(g.Rules, rule{fmt.Sprintf("panel_%d_query_%d", panel.ID, i), variables.Replace(target.Expr)})
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(map[string]any{"groups": []group{g}}); err != nil {
		log.Fatal(err)
	}
}
