package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// Every command line and environment of the files for Kubernetes, systemd and compose is one that the program takes, and whoever
// stops a serve waits for longer than it drains.
func TestDeploySettings(t *testing.T) {
	var uses []deployed
	manifests, err := filepath.Glob(filepath.Join(deployFolder, "kubernetes", "*.yaml"))
	if err != nil || len(manifests) < 6 {
		t.Fatalf("%d files for Kubernetes: %v", len(manifests), err)
	}
	for _, name := range manifests {
		uses = append(uses, kubernetesUses(t, name)...)
	}
	uses = append(uses, systemdUses(t)...)
	uses = append(uses, composeUse(t))
	commands := map[string]int{}
	for _, use := range uses {
		commands[use.args[0]]++
		t.Run(use.where, func(t *testing.T) { use.check(t) })
	}
	if commands["serve"] != 6 || commands["backfill"] != 2 {
		t.Errorf("found %v", commands)
	}
}

// deployed is the program as a file starts it.
type deployed struct {
	where   string
	args    []string
	env     map[string]string
	stopped time.Duration // after SIGTERM, kill -9 comes
}

// otherVariables are for the Go runtime.
var otherVariables = []string{"GOMEMLIMIT"}

func (d deployed) check(t *testing.T) {
	known := append(conventionalVariables(t), otherVariables...)
	var environ, secrets []string
	for name, value := range d.env {
		if !strings.HasPrefix(name, "SNAPSHOT_MIRROR_") && !slices.Contains(known, name) {
			t.Errorf("nobody reads the variable %s", name)
		}
		environ = append(environ, name+"="+value)
		if strings.HasPrefix(value, fromSecret) {
			secrets = append(secrets, name)
		}
	}
	args := make([]string, len(d.args))
	for i, arg := range d.args {
		args[i] = strings.ReplaceAll(arg, "$(JOB_COMPLETION_INDEX)", "15")
	}
	var c cli
	parser, err := kong.New(&c, kong.Name("snapshot-mirror"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parse(parser, args, environ); err != nil {
		t.Errorf("%s: %v", strings.Join(args, " "), err)
	}
	if len(secrets) == 0 {
		t.Error("no secrets are passed")
	}
	for _, flag := range []string{"secret", "password", "sign-key", "hotlink-key"} {
		if strings.Contains(strings.Join(args, " "), "-"+flag) {
			t.Errorf("a secret among the arguments: %v", args)
		}
	}
	drain := 30 * time.Second // a backfill finishes what is in flight
	if args[0] == "serve" {
		drain = c.Serve.Drain
		if local, err := config.Loopback(c.Serve.AdminListen); err != nil || local != (d.where == "systemd") {
			t.Errorf("--admin-listen %s: probes and Prometheus come from outside of a container", c.Serve.AdminListen)
		}
	}
	if d.stopped < drain+10*time.Second {
		t.Errorf("killed after %v, but drains for %v", d.stopped, drain)
	}
}

// fromSecret stands for what a file takes from a secret.
const fromSecret = "from-secret-"

// conventionalVariables are those that the program looks for by the conventions of others.
func conventionalVariables(t *testing.T) (names []string) {
	record := func(name string) string {
		names = append(names, name)
		return "x"
	}
	if _, err := config.LoadAWS(record); err != nil {
		t.Fatal(err)
	}
	_, _ = config.LoadAWS(func(name string) string { _ = record(name); return "" }) // the second choices, too
	if _, err := vod.FindCredentials(t.Context(), record); err != nil {
		t.Fatal(err)
	}
	return names
}

// kubernetesUses finds our containers in a file, wherever they are in it.
func kubernetesUses(t *testing.T, name string) (uses []deployed) {
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	documents := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var document any
		if err := documents.Decode(&document); errors.Is(err, io.EOF) {
			return uses
		} else if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		eachMap(document, func(m map[string]any) {
			grace, ok := m["terminationGracePeriodSeconds"].(int)
			if !ok {
				return
			}
			eachMap(m, func(container map[string]any) {
				image, _ := container["image"].(string)
				if !strings.Contains(image, "/snapshot-mirror:") {
					return
				}
				use := deployed{where: filepath.Base(name), env: map[string]string{}, stopped: time.Duration(grace) * time.Second}
				for _, arg := range container["args"].([]any) {
					use.args = append(use.args, arg.(string))
				}
				for _, variable := range container["env"].([]any) {
					v := variable.(map[string]any)
					value, ok := v["value"].(string)
					if !ok {
						value = fromSecret + v["name"].(string)
					}
					use.env[v["name"].(string)] = value
				}
				uses = append(uses, use)
			})
		})
	}
}

func eachMap(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case map[string]any:
		visit(v)
		for _, value := range v {
			eachMap(value, visit)
		}
	case []any:
		for _, value := range v {
			eachMap(value, visit)
		}
	}
}

// systemdUses is the unit with the file of settings that comes with it, first as it is, then with all that is commented out.
func systemdUses(t *testing.T) []deployed {
	unit, err := os.ReadFile(filepath.Join(deployFolder, "systemd", "snapshot-mirror.service"))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := os.ReadFile(filepath.Join(deployFolder, "systemd", "snapshot-mirror.env"))
	if err != nil {
		t.Fatal(err)
	}
	plain := deployed{where: "systemd", env: map[string]string{}}
	for line := range strings.Lines(string(unit)) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch key {
		case "ExecStart":
			plain.args = strings.Fields(value)[1:]
		case "Environment":
			name, value, _ := strings.Cut(value, "=")
			plain.env[name] = value
		case "TimeoutStopSec":
			if plain.stopped, err = time.ParseDuration(value + "s"); err != nil {
				t.Fatal(err)
			}
		}
	}
	all := deployed{where: "systemd, all settings", args: plain.args, env: map[string]string{}, stopped: plain.stopped}
	for name, value := range plain.env {
		all.env[name] = value
	}
	assignment := regexp.MustCompile(`(?m)^(#?)([A-Z][A-Z0-9_]*)=(.*)$`)
	for _, m := range assignment.FindAllStringSubmatch(string(settings), -1) {
		value := m[3]
		if value == "" { // to be filled in
			value = fromSecret + m[2]
		}
		all.env[m[2]] = value
		if m[1] == "" {
			plain.env[m[2]] = value
		}
	}
	return []deployed{plain, all}
}

func composeUse(t *testing.T) deployed {
	var file struct {
		Services map[string]struct {
			Command     []string
			Environment map[string]*string
			Grace       string `yaml:"stop_grace_period"`
		}
	}
	readYAML(t, filepath.Join(deployFolder, "compose.yaml"), &file)
	service := file.Services["snapshot-mirror"]
	use := deployed{where: "compose", args: service.Command, env: map[string]string{}}
	for name, value := range service.Environment {
		if value == nil {
			continue
		}
		use.env[name] = *value
		if strings.HasPrefix(*value, "${") {
			use.env[name] = fmt.Sprint(fromSecret, name)
		}
	}
	var err error
	if use.stopped, err = time.ParseDuration(service.Grace); err != nil {
		t.Fatal(err)
	}
	return use
}
