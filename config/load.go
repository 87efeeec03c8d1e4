package config

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"regexp"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

const envPrefix = "SNAPSHOT_MIRROR_"

// EnvName is the environment variable of a flag.
func EnvName(flag string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(flag, "-", "_"))
}

// kubernetesEnv is what Kubernetes puts into every container beside a Service that is called snapshot-mirror. No setting may
// ever be called like that.
var kubernetesEnv = regexp.MustCompile(`^SNAPSHOT_MIRROR_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// Sources are where settings come from besides flags. It is a kong.Resolver; kong asks it only for flags that are not given.
type Sources struct {
	env      map[string]string // by name of flag
	file     map[string]*yaml.Node
	filename string
}

// Load reads the environment (in the form of os.Environ) and, unless its name is empty, a YAML file. If filename is empty, the
// environment may name it. Every name must be that of a flag of app.
func Load(app *kong.Application, environ []string, filename string) (*Sources, error) {
	flags := map[string]bool{}
	allFlags(app.Node, func(f *kong.Flag) { flags[f.Name] = true })
	s := &Sources{env: map[string]string{}, file: map[string]*yaml.Node{}, filename: filename}
	for _, pair := range environ {
		name, value, _ := strings.Cut(pair, "=")
		if !strings.HasPrefix(name, envPrefix) || kubernetesEnv.MatchString(name) {
			continue
		}
		flag := strings.ToLower(strings.ReplaceAll(strings.TrimPrefix(name, envPrefix), "_", "-"))
		if !flags[flag] || EnvName(flag) != name {
			return nil, fmt.Errorf("environment variable %s: there is no setting --%s", name, flag)
		}
		if value != "" { // an empty variable is how compose files and shells say: not set
			s.env[flag] = value
		}
	}
	if s.filename == "" {
		s.filename = s.env["config"]
	}
	if s.filename == "" {
		return s, nil
	}
	return s, s.readFile(flags)
}

func allFlags(node *kong.Node, visit func(*kong.Flag)) {
	for _, f := range node.Flags {
		visit(f)
	}
	for _, child := range node.Children {
		allFlags(child, visit)
	}
}

// maxFile bounds what a wrong --config can cost.
const maxFile = 1 << 20

func (s *Sources) readFile(flags map[string]bool) error {
	file, err := os.Open(s.filename)
	if err != nil {
		return fmt.Errorf("reading settings: %w", err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return fmt.Errorf("reading settings: %w", err)
	}
	if len(text) > maxFile {
		return fmt.Errorf("reading settings: %s is larger than 1 MiB", s.filename)
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("reading settings: %s: %w", s.filename, err)
	}
	if len(doc.Content) == 0 { // nothing but comments
		return nil
	}
	root := doc.Content[0]
	if root.Kind != yaml.MappingNode {
		return fmt.Errorf("reading settings: %s:%d: write NAME: VALUE, a line for each setting", s.filename, root.Line)
	}
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		at := fmt.Sprintf("%s:%d", s.filename, key.Line)
		switch {
		case !flags[key.Value] || key.Value == "config" || key.Value == "help":
			return fmt.Errorf("%s: there is no setting %q; the names are those of the flags, without dashes in front", at, key.Value)
		case s.file[key.Value] != nil:
			return fmt.Errorf("%s: %s is set twice", at, key.Value)
		case value.Kind != yaml.ScalarNode || value.Tag == "!!null":
			return fmt.Errorf("%s: %s must have one value", at, key.Value)
		}
		s.file[key.Value] = value
	}
	return nil
}

// Validate implements kong.Resolver; Load has validated.
func (s *Sources) Validate(*kong.Application) error { return nil }

// Resolve implements kong.Resolver.
func (s *Sources) Resolve(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	from, value, ok := EnvName(flag.Name), "", false
	if value, ok = s.env[flag.Name]; !ok {
		node := s.file[flag.Name]
		if node == nil {
			return nil, nil
		}
		from, value = fmt.Sprintf("%s:%d", s.filename, node.Line), node.Value
	}
	// Tried here first, since kong could not say where the value comes from.
	probe := reflect.New(flag.Target.Type()).Elem()
	err := flag.Mapper.Decode(&kong.DecodeContext{Value: flag.Value, Scan: kong.Scan().PushTyped(value, kong.FlagValueToken)}, probe)
	if err == nil && flag.Enum != "" && !flag.EnumMap()[value] {
		err = fmt.Errorf("%q is not one of %s", value, flag.Enum)
	}
	if err != nil {
		return nil, fmt.Errorf("from %s: %w", from, err)
	}
	return value, nil
}
