package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// forwardTimeout leaves time to confirm what was forwarded.
const forwardTimeout = 15 * time.Second

// forwarder posts to a receiver that the operator names. It follows no redirects: what was moved would have become a GET.
var forwarder = &http.Client{
	Timeout:       forwardTimeout,
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute},
}

// post hands an event over as VOD's normal callback would. The error does not hold the URL, which may be a secret.
func post(ctx context.Context, to string, event []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(event))
	if err != nil {
		return errors.New("the receiver's URL makes no request")
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := forwarder.Do(req)
	if err != nil {
		if wrapped, ok := errors.AsType[*url.Error](err); ok {
			err = wrapped.Err
		}
		return fmt.Errorf("forwarding an event: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10) // else the connection could not be used again
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return fmt.Errorf("forwarding an event: the receiver answers %d", resp.StatusCode)
	}
	return nil
}
