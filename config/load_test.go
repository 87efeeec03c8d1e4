package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/snapshot-mirror/snapshot-mirror/config"
)

func load(t testing.TB, env []string, yaml string, args ...string) (config.Settings, error) {
	t.Helper()
	var c struct{ config.Settings }
	parser, err := kong.New(&c)
	if err != nil {
		t.Fatal(err)
	}
	name := ""
	if yaml != "" {
		name = filepath.Join(t.TempDir(), "s.yaml")
		if err := os.WriteFile(name, []byte(yaml), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := config.Load(parser.Model, env, name)
	if err != nil {
		return c.Settings, err
	}
	if err := kong.Resolvers(sources).Apply(parser); err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return c.Settings, err
}

func TestPrecedence(t *testing.T) {
	const yaml = "concurrency: 3\nto: s3://bucket/a/b/\nmax-image-size: 1MiB\nidle-timeout: 2s\ndry-run: true\n"
	for _, test := range []struct {
		env, args []string
		yaml      string
		want      int
	}{
		{nil, nil, "", 32},
		{nil, nil, yaml, 3},
		{[]string{"SNAPSHOT_MIRROR_CONCURRENCY=4"}, nil, yaml, 4},
		{[]string{"SNAPSHOT_MIRROR_CONCURRENCY="}, nil, yaml, 3},
		{[]string{"SNAPSHOT_MIRROR_CONCURRENCY=4"}, []string{"--concurrency=5"}, yaml, 5},
	} {
		s, err := load(t, test.env, test.yaml, test.args...)
		if err != nil || s.Concurrency != test.want {
			t.Errorf("%v %v: %d (%v), want %d", test.env, test.args, s.Concurrency, err, test.want)
		}
		if test.yaml != "" && (s.To != config.Location{Bucket: "bucket", Prefix: "a/b"} || s.MaxImageSize != 1<<20 || s.IdleTimeout != 2e9 || !s.DryRun) {
			t.Errorf("from the file: %+v", s)
		}
	}
}

func TestBadSettings(t *testing.T) {
	tests := []struct {
		name, env, yaml, want string
	}{
		{"unknown variable", "SNAPSHOT_MIRROR_THREADS=3", "", "environment variable SNAPSHOT_MIRROR_THREADS: there is no setting --threads"},
		{"variable in lower case", "SNAPSHOT_MIRROR_concurrency=3", "", "environment variable SNAPSHOT_MIRROR_concurrency: there is no setting --concurrency"},
		{"bad number", "SNAPSHOT_MIRROR_CONCURRENCY=many", "", `--concurrency: from SNAPSHOT_MIRROR_CONCURRENCY: expected a valid 64 bit int but got "many"`},
		{"bad enum", "SNAPSHOT_MIRROR_LOG_LEVEL=loud", "", `--log-level: from SNAPSHOT_MIRROR_LOG_LEVEL: "loud" is not one of debug,info,warn,error`},
		{"unknown key", "", "bucket: x", `s.yaml:1: there is no setting "bucket"; the names are those of the flags, without dashes in front`},
		{"flag's dashes", "", "--to: x", `s.yaml:1: there is no setting "--to"; the names are those of the flags, without dashes in front`},
		{"a file in the file", "", "config: x", `s.yaml:1: there is no setting "config"; the names are those of the flags, without dashes in front`},
		{"twice", "", "to: a\nto: b", "s.yaml:2: to is set twice"},
		{"a list", "", "to: [a, b]", "s.yaml:1: to must have one value"},
		{"nothing", "", "to:", "s.yaml:1: to must have one value"},
		{"no mapping", "", "- to", "s.yaml:1: write NAME: VALUE, a line for each setting"},
		{"no YAML", "", "to: [", "s.yaml: yaml: line 1: did not find expected node content"},
		{"bad size", "", "# sizes\nmax-image-size: big", `s.yaml:2: "big" is not a size: write it like 64MiB`},
		{"too large", "", "to: " + strings.Repeat("x", 1<<20), "s.yaml is larger than 1 MiB"},
	}
	for _, test := range tests {
		_, err := load(t, []string{test.env}, test.yaml)
		if err == nil || !strings.HasSuffix(err.Error(), test.want) {
			t.Errorf("%s: error %v, want one that ends with %s", test.name, err, test.want)
		}
	}
	if s, err := load(t, nil, "# only a comment\n"); err != nil || s.Concurrency != 32 {
		t.Errorf("a file without settings: %v", err)
	}
}

// Kubernetes describes a Service called snapshot-mirror in the environment. That must neither fail nor ever be a setting.
func TestKubernetesEnvironment(t *testing.T) {
	env := []string{
		"SNAPSHOT_MIRROR_SERVICE_HOST=10.0.0.1", "SNAPSHOT_MIRROR_SERVICE_PORT=80", "SNAPSHOT_MIRROR_SERVICE_PORT_HTTP=80",
		"SNAPSHOT_MIRROR_PORT=tcp://10.0.0.1:80", "SNAPSHOT_MIRROR_PORT_80_TCP=tcp://10.0.0.1:80", "SNAPSHOT_MIRROR_PORT_80_TCP_PROTO=tcp",
		"SNAPSHOT_MIRROR_PORT_80_TCP_PORT=80", "SNAPSHOT_MIRROR_PORT_80_TCP_ADDR=10.0.0.1",
	}
	if _, err := load(t, env, ""); err != nil {
		t.Error(err)
	}
	parser, err := kong.New(&struct{ config.Settings }{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range parser.Model.Flags {
		if f.Name == "port" || strings.HasPrefix(f.Name, "service-") || strings.HasPrefix(f.Name, "port-") {
			t.Errorf("--%s would clash with what Kubernetes sets", f.Name)
		}
	}
}

func FuzzLoadYAML(f *testing.F) {
	f.Add("to: s3://b\nconcurrency: 3\n")
	f.Add("? {a: b}\n: c\n&x to: *x")
	f.Fuzz(func(t *testing.T, yaml string) { _, _ = load(t, nil, yaml) })
}
