package config_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/config"
)

func TestLocation(t *testing.T) {
	tests := []struct {
		in   string
		want config.Location
		err  string
	}{
		{"s3://pictures", config.Location{Bucket: "pictures"}, ""},
		{"s3://pictures/", config.Location{Bucket: "pictures"}, ""},
		{"s3://pictures/a/b/", config.Location{Bucket: "pictures", Prefix: "a/b"}, ""},
		{"./mirrored", config.Location{Dir: "./mirrored"}, ""},
		{"/srv/a b", config.Location{Dir: "/srv/a b"}, ""},
		{"", config.Location{}, "it is empty: write s3://BUCKET[/PREFIX] or a directory"},
		{"s3://", config.Location{}, "no bucket: write s3://BUCKET[/PREFIX]"},
		{"s3:/pictures", config.Location{}, `"s3:/pictures" lacks slashes: write s3://BUCKET[/PREFIX]`},
		{"https://s3.example.com/b", config.Location{}, "no destination https://: write s3://BUCKET[/PREFIX] or a directory"},
		{"s3://pictures/a/../b", config.Location{}, `the prefix "a/../b" has a segment ".."`},
		{"s3://pictures/a//b", config.Location{}, `the prefix "a//b" has a segment ""`},
	}
	for _, test := range tests {
		var got config.Location
		err := got.UnmarshalText([]byte(test.in))
		if text := fmt.Sprint(err); (err != nil || test.err != "") && text != test.err {
			t.Errorf("%q: error %q, want %q", test.in, text, test.err)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		}
	}
}

func TestSourceLimits(t *testing.T) {
	good := config.Source{Concurrency: 1, MaxImageSize: 1 << 20, BytesInFlight: 1 << 20, IdleTimeout: time.Second, AttemptTimeout: time.Minute}
	if err := good.Validate(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*config.Source){
		"--concurrency":      func(s *config.Source) { s.Concurrency = 0 },
		"--host-concurrency": func(s *config.Source) { s.HostConcurrency = -1 },
		"--attempt-timeout":  func(s *config.Source) { s.AttemptTimeout = 0 },
		"--source-retries":   func(s *config.Source) { s.SourceRetries = -1 },
		"--max-image-size":   func(s *config.Source) { s.MaxImageSize = 0 },
		"--bytes-in-flight":  func(s *config.Source) { s.BytesInFlight-- },
		"--idle-timeout":     func(s *config.Source) { s.IdleTimeout = 0 },
	} {
		s := good
		spoil(&s)
		if err := s.Validate(); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// However a secret is printed, it is not.
func TestSecret(t *testing.T) {
	const value = "hush"
	s := config.NewSecret(value)
	holder := struct {
		Inside config.Secret
		hidden config.Secret
	}{s, s}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		fmt.Fprintf(&out, verb+" "+verb+" "+verb+"\n", s, &s, holder)
	}
	text, err := json.Marshal(map[string]any{"a": s, "b": holder})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(text)
	slog.New(slog.NewTextHandler(&out, nil)).Info("m", "s", s, "holder", holder)
	slog.New(slog.NewJSONHandler(&out, nil)).Info("m", "s", s, "holder", holder)
	for _, form := range []string{value, fmt.Sprintf("%x", value), fmt.Sprint([]byte(value))} {
		if strings.Contains(out.String(), strings.Trim(form, "[]")) {
			t.Errorf("printed as %q:\n%s", form, out.String())
		}
	}
	if s.Reveal() != value {
		t.Error("the secret is lost")
	}
}

func TestAWS(t *testing.T) {
	env := map[string]string{
		"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "eu-west-1", "AWS_ENDPOINT_URL": "http://general",
	}
	a, err := config.LoadAWS(func(name string) string { return env[name] })
	if err != nil || a.Region != "eu-west-1" || a.Endpoint != "http://general" || a.SecretAccessKey.Reveal() != "key" {
		t.Errorf("%+v, %v", a, err)
	}
	env["AWS_REGION"], env["AWS_ENDPOINT_URL_S3"] = "ap-1", "http://s3"
	if a, _ = config.LoadAWS(func(name string) string { return env[name] }); a.Region != "ap-1" || a.Endpoint != "http://s3" {
		t.Errorf("%+v: the more special variables win", a)
	}
	delete(env, "AWS_ACCESS_KEY_ID")
	if _, err := config.LoadAWS(func(name string) string { return env[name] }); err == nil {
		t.Error("no error for half of the credentials")
	}
	if a, err = config.LoadAWS(func(string) string { return "" }); err != nil || a.Region != "us-east-1" {
		t.Errorf("%+v, %v: a region is always set", a, err)
	}
}

// A destination that is taken means the same when it is written again, and a prefix leads nowhere else.
func FuzzLocation(f *testing.F) {
	for _, text := range []string{"s3://pictures/a/b/", "s3://pictures", "./mirrored", "s3:/x", "s3://b/../x", "s3://b//x", "S3://b", "s3://b/%2e%2e", "s3://b/a\nb", "http://x", ""} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var l, again config.Location
		if l.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := again.UnmarshalText([]byte(l.String())); err != nil || again != l {
			t.Errorf("%q is %+v, and written again %+v (%v)", text, l, again, err)
		}
		for segment := range strings.SplitSeq(l.Prefix, "/") {
			if l.Prefix != "" && (segment == "" || segment == "." || segment == "..") {
				t.Errorf("%q has the prefix %q", text, l.Prefix)
			}
		}
		if (l.Bucket == "") == (l.Dir == "") {
			t.Errorf("%q is %+v: neither a bucket nor a directory, or both", text, l)
		}
	})
}
