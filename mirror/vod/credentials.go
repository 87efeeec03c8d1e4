package vod

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tencentcloud/tencentcloud-sdk-go/tencentcloud/common"
)

// Credentials are what API calls are signed with. Those of a role are renewed before they expire.
type Credentials struct{ credential common.CredentialIface }

// StaticCredentials are a pair of keys, with a token when they are temporary.
func StaticCredentials(secretID, secretKey, token string) Credentials {
	return Credentials{common.NewTokenCredential(secretID, secretKey, token)}
}

// credentialsTimeout is for the metadata service, which elsewhere than on Tencent's machines may be a host that never answers.
const credentialsTimeout = 10 * time.Second

// FindCredentials looks where Tencent's SDKs do: the environment (TENCENTCLOUD_SECRET_ID and _KEY), the role of a TKE pod
// (TKE_ROLE_ARN and what comes with it), the file ~/.tencentcloud/credentials or TENCENTCLOUD_CREDENTIALS_FILE, the role of a CVM.
// lookup is like os.LookupEnv without the second value; the SDK reads the process's own environment.
func FindCredentials(ctx context.Context, lookup func(string) string) (Credentials, error) {
	id, key := lookup("TENCENTCLOUD_SECRET_ID"), lookup("TENCENTCLOUD_SECRET_KEY")
	switch {
	case id != "" && key != "":
		return StaticCredentials(id, key, lookup("TENCENTCLOUD_TOKEN")), nil
	case id != "" || key != "":
		return Credentials{}, errors.New("only one of TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY is set")
	}
	type found struct {
		credential common.CredentialIface
		err        error
	}
	answer := make(chan found, 1)
	go func() {
		var f found
		f.credential, f.err = roleOrProfile(lookup)
		answer <- f
	}()
	ctx, cancel := context.WithTimeout(ctx, credentialsTimeout)
	defer cancel()
	select {
	case f := <-answer:
		if f.err != nil {
			return Credentials{}, fmt.Errorf("finding credentials for Tencent Cloud: %s", printable(f.err.Error()))
		}
		return Credentials{f.credential}, nil
	case <-ctx.Done():
		return Credentials{}, errors.New("finding credentials for Tencent Cloud: none in the environment or in a file, and no answer from the machine's metadata service")
	}
}

func roleOrProfile(lookup func(string) string) (common.CredentialIface, error) {
	if lookup("TKE_ROLE_ARN") != "" {
		pod, err := common.DefaultTkeOIDCRoleArnProvider()
		if err != nil {
			return nil, err
		}
		return pod.GetCredential()
	}
	return common.NewProviderChain([]common.Provider{common.DefaultProfileProvider(), common.DefaultCvmRoleProvider()}).GetCredential()
}
