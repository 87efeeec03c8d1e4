package config

import "log/slog"

// Secret is text that is never printed. [Secret.Reveal] is the only way to it. The zero value is the empty secret.
type Secret struct {
	// A pointer, because fmt prints strings in unexported fields without asking their methods.
	value *string
}

// NewSecret wraps a secret.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal gives the secret itself, for whoever has to send or sign with it.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// UnmarshalText reads a secret setting.
func (s *Secret) UnmarshalText(text []byte) error {
	*s = NewSecret(string(text))
	return nil
}

const hidden = "[secret]"

func (s Secret) String() string {
	if s.Reveal() == "" {
		return ""
	}
	return hidden
}

// GoString, MarshalText and LogValue hide it from %#v, JSON and logs.
func (s Secret) GoString() string { return s.String() }

// MarshalText hides the secret.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// LogValue hides the secret.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }
