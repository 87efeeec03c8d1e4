package store

import (
	"fmt"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/encrypt"
	"github.com/minio/minio-go/v7/pkg/tags"
)

// S3Headers are what a bucket is told of each object beside its content. All are sent with the probe's object too: a bucket's policy
// may demand them. The zero value leaves everything to the bucket's own settings.
type S3Headers struct {
	// StorageClass is the service's name of one, e.g. "STANDARD_IA".
	StorageClass string
	// CacheControl is the Cache-Control that whoever reads the object gets.
	CacheControl string
	// SSE is who holds the key that the object is encrypted with: "S3" (SSE-S3, AES256) or "KMS" (SSE-KMS).
	SSE string
	// KMSKeyID names the key of SSE "KMS"; "" is the account's own for S3.
	KMSKeyID string
	// Tags are object tags: at most 10, with keys up to 128 and values up to 256 characters.
	// Source: Amazon S3 User Guide, "Categorizing your objects using tags".
	Tags map[string]string
}

// The values of [S3Headers].SSE.
const (
	SSES3  = "S3"
	SSEKMS = "KMS"
)

// check refuses what minio-go would leave out without a word.
func (h S3Headers) check() error {
	if _, err := tags.NewTags(h.Tags, true); err != nil {
		return fmt.Errorf("object tags: %w", err)
	}
	if h.SSE != "" && h.SSE != SSES3 && h.SSE != SSEKMS {
		return fmt.Errorf("there is no server-side encryption %q", h.SSE)
	}
	return nil
}

func (h S3Headers) add(o *minio.PutObjectOptions) {
	o.StorageClass, o.CacheControl, o.UserTags = h.StorageClass, h.CacheControl, h.Tags
	switch h.SSE {
	case SSES3:
		o.ServerSideEncryption = encrypt.NewSSE()
	case SSEKMS:
		o.ServerSideEncryption, _ = encrypt.NewSSEKMS(h.KMSKeyID, nil) // it fails for a context only
	}
}

// settings are those that have headers sent.
func (h S3Headers) settings() []string {
	var names []string
	for _, s := range []struct {
		name string
		set  bool
	}{
		{"--storage-class", h.StorageClass != ""}, {"--cache-control", h.CacheControl != ""}, {"--sse", h.SSE != ""}, {"--tag", len(h.Tags) > 0},
	} {
		if s.set {
			names = append(names, s.name)
		}
	}
	return names
}

// permissions are what the headers need beside the ordinary ones, as the end of a sentence.
func (h S3Headers) permissions() string {
	text := ""
	if len(h.Tags) > 0 {
		text += "; for --tag s3:PutObjectTagging"
	}
	if h.SSE == SSEKMS {
		text += "; for --sse KMS kms:GenerateDataKey on the key"
	}
	return text
}
