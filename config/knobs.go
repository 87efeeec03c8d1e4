package config

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// StorageClass is a bucket's name of one, e.g. STANDARD_IA. Services have classes of their own.
type StorageClass string

// UnmarshalText reads the written form.
func (c *StorageClass) UnmarshalText(text []byte) error {
	if len(text) == 0 || len(text) > 64 || strings.Trim(string(text), upper+digits+"_") != "" {
		return fmt.Errorf("%q is not a storage class: write it like STANDARD_IA", text)
	}
	*c = StorageClass(text)
	return nil
}

// HeaderText is the value of a HTTP header, in printable ASCII.
type HeaderText string

// UnmarshalText reads the written form.
func (h *HeaderText) UnmarshalText(text []byte) error {
	switch s := string(text); {
	case s == "" || len(s) > 1024:
		return errors.New("it must have 1 to 1024 characters")
	case strings.TrimSpace(s) != s || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' }):
		return fmt.Errorf("%q is not the value of a header: only printable ASCII, without blanks at its ends", s)
	}
	*h = HeaderText(text)
	return nil
}

// Tags are an object's, written K=V,K=V.
type Tags map[string]string

// What S3 allows. Source: Amazon S3 User Guide, "Categorizing your objects using tags".
const (
	maxTags     = 10
	maxTagKey   = 128
	maxTagValue = 256
	tagSigns    = letters + digits + " +-=._:/@"
)

// UnmarshalText reads the written form.
func (t *Tags) UnmarshalText(text []byte) error {
	*t = Tags{}
	for part := range strings.SplitSeq(string(text), ",") {
		key, value, found := strings.Cut(strings.TrimSpace(part), "=")
		_, twice := (*t)[key]
		switch {
		case !found || key == "":
			return fmt.Errorf("%q is not a tag: write K=V, with commas between several", part)
		case strings.Trim(key+value, tagSigns) != "":
			return fmt.Errorf("the tag %q has characters that S3 does not take: only letters, digits, blanks and + - = . _ : / @", part)
		case len(key) > maxTagKey || len(value) > maxTagValue:
			return fmt.Errorf("the tag %q is too long: up to %d characters, and %d for its value", clip(key), maxTagKey, maxTagValue)
		case strings.HasPrefix(strings.ToLower(key), "aws:"):
			return fmt.Errorf("the tag %q can't be set: aws: is Amazon's own", key)
		case twice:
			return fmt.Errorf("the tag %q is there twice", key)
		}
		(*t)[key] = value
	}
	if len(*t) > maxTags {
		return fmt.Errorf("%d tags, and an object can have %d", len(*t), maxTags)
	}
	return nil
}

func clip(s string) string {
	if len(s) <= 40 {
		return s
	}
	return s[:40] + "…"
}

// Bandwidth is a number of bytes a second, written like 10MB, or off; 0 is off.
type Bandwidth int64

const minBandwidth = 1 << 10

// UnmarshalText reads the written form.
func (b *Bandwidth) UnmarshalText(text []byte) error {
	*b = 0
	if string(text) == off {
		return nil
	}
	var n Size
	if n.UnmarshalText(text) != nil {
		return fmt.Errorf("%q is not a number of bytes a second: write it like 10MB, or off", text)
	}
	if n < minBandwidth {
		return fmt.Errorf("%s is less than 1 KiB a second; off is no limit", text)
	}
	*b = Bandwidth(n)
	return nil
}

// Rate is how often a second, or off; 0 is off.
type Rate float64

const (
	minRate = 0.1
	maxRate = 10_000
)

// UnmarshalText reads the written form.
func (r *Rate) UnmarshalText(text []byte) error {
	*r = 0
	if string(text) == off {
		return nil
	}
	f, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(f >= minRate && f <= maxRate) {
		return fmt.Errorf("%q is not a rate: write %g to %d, fetches a second, or off", text, minRate, maxRate)
	}
	*r = Rate(f)
	return nil
}

const off = "off"

// Choice settings say which of the snapshots that are announced are wanted.
type Choice struct {
	Include []string `help:"Take only these snapshots: file-id=GLOB, definition=N, time-offset=FROM-TO (ms), with commas between what must hold together and between several values of one. Say it again, or put a semicolon between, for others." sep:";" placeholder:"RULE" group:"Choice"`
	Exclude []string `help:"Leave these snapshots out, written like --include; it wins." sep:";" placeholder:"RULE" group:"Choice"`
}
