package config_test

import (
	"encoding"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/config"
)

// parsed gives what a setting's text comes to, or its error.
func parsed[T any, P interface {
	*T
	encoding.TextUnmarshaler
}](text string) string {
	var v T
	if err := P(&v).UnmarshalText([]byte(text)); err != nil {
		return err.Error()
	}
	return fmt.Sprint(v)
}

func TestKnobs(t *testing.T) {
	elevenTags := strings.TrimSuffix(strings.Repeat("k%=v,", 11), ",")
	for i := range 11 {
		elevenTags = strings.Replace(elevenTags, "%", fmt.Sprint(i), 1)
	}
	long := strings.Repeat("a", 257)
	tests := []struct {
		parse func(string) string
		text  string
		want  string // the value, or the error
	}{
		{parsed[config.StorageClass], "STANDARD_IA", "STANDARD_IA"},
		{parsed[config.StorageClass], "", `"" is not a storage class: write it like STANDARD_IA`},
		{parsed[config.StorageClass], "standard", `"standard" is not a storage class: write it like STANDARD_IA`},
		{parsed[config.StorageClass], "A\nB", `"A\nB" is not a storage class: write it like STANDARD_IA`},

		{parsed[config.HeaderText], "public, max-age=31536000, immutable", "public, max-age=31536000, immutable"},
		{parsed[config.HeaderText], "", "it must have 1 to 1024 characters"},
		{parsed[config.HeaderText], strings.Repeat("a", 1025), "it must have 1 to 1024 characters"},
		{parsed[config.HeaderText], "a\r\nX: y", `"a\r\nX: y" is not the value of a header: only printable ASCII, without blanks at its ends`},
		{parsed[config.HeaderText], " a", `" a" is not the value of a header: only printable ASCII, without blanks at its ends`},
		{parsed[config.HeaderText], "ü", `"ü" is not the value of a header: only printable ASCII, without blanks at its ends`},

		{parsed[config.Tags], "team=video, source=vod,empty=,sum=a=b", "map[empty: source:vod sum:a=b team:video]"},
		{parsed[config.Tags], "team", `"team" is not a tag: write K=V, with commas between several`},
		{parsed[config.Tags], "", `"" is not a tag: write K=V, with commas between several`},
		{parsed[config.Tags], "=v", `"=v" is not a tag: write K=V, with commas between several`},
		{parsed[config.Tags], "a=b,", `"" is not a tag: write K=V, with commas between several`},
		{parsed[config.Tags], "a=1&b", `the tag "a=1&b" has characters that S3 does not take: only letters, digits, blanks and + - = . _ : / @`},
		{parsed[config.Tags], "a=\nb", `the tag "a=\nb" has characters that S3 does not take: only letters, digits, blanks and + - = . _ : / @`},
		{parsed[config.Tags], "a=1,a=2", `the tag "a" is there twice`},
		{parsed[config.Tags], "AWS:a=1", `the tag "AWS:a" can't be set: aws: is Amazon's own`},
		{parsed[config.Tags], long[:128] + "=" + long[:256], "map[" + long[:128] + ":" + long[:256] + "]"},
		{parsed[config.Tags], long[:129] + "=v", `the tag "` + long[:40] + `…" is too long: up to 128 characters, and 256 for its value`},
		{parsed[config.Tags], "k=" + long, `the tag "k" is too long: up to 128 characters, and 256 for its value`},
		{parsed[config.Tags], elevenTags, "11 tags, and an object can have 10"},

		{parsed[config.Bandwidth], "off", "0"},
		{parsed[config.Bandwidth], "10MB", "10000000"},
		{parsed[config.Bandwidth], "1KiB", "1024"},
		{parsed[config.Bandwidth], "0", "0 is less than 1 KiB a second; off is no limit"},
		{parsed[config.Bandwidth], "fast", `"fast" is not a number of bytes a second: write it like 10MB, or off`},
		{parsed[config.Bandwidth], "-1MB", `"-1MB" is not a number of bytes a second: write it like 10MB, or off`},

		{parsed[config.Rate], "off", "0"},
		{parsed[config.Rate], "50", "50"},
		{parsed[config.Rate], "0.5", "0.5"},
		{parsed[config.Rate], "0", `"0" is not a rate: write 0.1 to 10000, fetches a second, or off`},
		{parsed[config.Rate], "NaN", `"NaN" is not a rate: write 0.1 to 10000, fetches a second, or off`},
		{parsed[config.Rate], "10001", `"10001" is not a rate: write 0.1 to 10000, fetches a second, or off`},
		{parsed[config.Rate], "50/s", `"50/s" is not a rate: write 0.1 to 10000, fetches a second, or off`},
	}
	for _, test := range tests {
		if diff := cmp.Diff(test.want, test.parse(test.text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.text, diff)
		}
	}
}

// What only a bucket knows is an error with a directory, rather than nothing.
func TestCheckObjects(t *testing.T) {
	bucket, dir := config.Location{Bucket: "pictures"}, config.Location{Dir: "./mirrored"}
	tests := []struct {
		in   config.Destination
		want string
	}{
		{config.Destination{To: dir, SSE: "off"}, ""},
		{config.Destination{To: bucket, StorageClass: "STANDARD_IA", SSE: "KMS", SSEKMSKeyID: "alias/pictures", CacheControl: "no-cache", Tag: config.Tags{"k": "v"}}, ""},
		{config.Destination{To: bucket, SSE: "KMS"}, ""},
		{config.Destination{To: bucket, SSE: "S3", SSEKMSKeyID: "k"}, "--sse-kms-key-id says nothing without --sse KMS"},
		{config.Destination{To: bucket, SSE: "KMS", SSEKMSKeyID: "a\nb"}, "--sse-kms-key-id must be a key's id, alias or ARN, without blanks"},
		{config.Destination{To: dir, StorageClass: "STANDARD_IA"}, "--storage-class says nothing to a directory, and --to is ./mirrored"},
		{config.Destination{To: dir, SSE: "S3"}, "--sse says nothing to a directory, and --to is ./mirrored"},
		{config.Destination{To: dir, CacheControl: "no-cache"}, "--cache-control says nothing to a directory, and --to is ./mirrored"},
		{config.Destination{To: dir, Tag: config.Tags{"k": "v"}}, "--tag says nothing to a directory, and --to is ./mirrored"},
	}
	for _, test := range tests {
		got := ""
		if err := test.in.CheckObjects(); err != nil {
			got = err.Error()
		}
		if got != test.want {
			t.Errorf("%+v: %q, want %q", test.in, got, test.want)
		}
	}
}
