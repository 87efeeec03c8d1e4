package storetest

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"

	"github.com/minio/minio-go/v7/pkg/signer"
)

// CopyRaw is the least that copies a picture into a bucket, by way of a buffer that is large enough: net/http's GET and a signed PUT,
// with nothing looked up, proven or recorded. It is what others are measured beside.
func CopyRaw(ctx context.Context, client *http.Client, from, to string, buffer []byte, accessKey, secretKey string) error {
	get, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(get)
	if err != nil {
		return err
	}
	n, err := io.ReadFull(resp.Body, buffer[:resp.ContentLength])
	_ = resp.Body.Close()
	if err != nil {
		return err
	}
	put, err := http.NewRequestWithContext(ctx, http.MethodPut, to, bytes.NewReader(buffer[:n]))
	if err != nil {
		return err
	}
	put.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	resp, err = client.Do(signer.SignV4(*put, accessKey, secretKey, "", "us-east-1"))
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, resp.Body)
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("PUT %s: %s", to, resp.Status)
	}
	return nil
}
