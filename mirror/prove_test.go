package mirror

import (
	"testing"
)

// The prover relies on nobody: net/http already refuses a body that is shorter than announced, but other transports may not.
func TestProve(t *testing.T) {
	body := []byte("\xff\xd8\xff\xe0 whole \xff\xd9")
	for name, test := range map[string]struct {
		claims claims
		want   Reason
	}{
		"exact":                 {claims{length: int64(len(body))}, ""},
		"longer than announced": {claims{length: int64(len(body)) - 1}, Incomplete},
		"cut":                   {claims{length: int64(len(body)) + 1}, Incomplete},
		"unknown, but framed":   {claims{length: -1, framed: true}, ""},
		"unknown":               {claims{length: -1}, Incomplete},
	} {
		p := newProver(test.claims)
		p.write(body[:4])
		p.write(body[4:])
		picture, err := p.prove(body)
		var reason Reason
		if f, ok := asFailure(err); ok {
			reason = f.Reason
		}
		if reason != test.want {
			t.Errorf("%s: %v, want reason %q", name, err, test.want)
		}
		if err == nil && (!rightMD5(picture, test.claims) || picture.contentType != "image/jpeg") {
			t.Errorf("%s: %+v", name, picture)
		}
	}
}
