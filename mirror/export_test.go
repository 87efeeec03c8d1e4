package mirror

import (
	"net"
	"net/http"
)

// PublicOnly is the policy itself.
var PublicOnly = publicOnly

// Tune changes how a worker dials: another resolver, another certificate authority. Without AllowPrivateSources, the dialer has
// the policy as its Control.
func (o *Options) Tune(tune func(*net.Dialer, *http.Transport)) { o.tune = tune }
