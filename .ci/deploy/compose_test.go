package deploy

import (
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
)

// Compose's own loader takes the file, with the three secrets that it asks for, and not without them.
func TestCompose(t *testing.T) {
	load := func(env ...string) error {
		options, err := cli.NewProjectOptions([]string{filepath.Join(folder, "compose.yaml")}, cli.WithEnv(env))
		if err != nil {
			return err
		}
		_, err = options.LoadProject(t.Context())
		return err
	}
	if err := load("S3_ACCESS_KEY=a", "S3_SECRET_KEY=b", "CALLBACK_SECRET=c"); err != nil {
		t.Error(err)
	}
	for _, env := range [][]string{{"S3_SECRET_KEY=b", "CALLBACK_SECRET=c"}, {"S3_ACCESS_KEY=a", "CALLBACK_SECRET=c"}, {"S3_ACCESS_KEY=a", "S3_SECRET_KEY=b"}} {
		if load(env...) == nil {
			t.Errorf("starts with nothing but %v", env)
		}
	}
}
