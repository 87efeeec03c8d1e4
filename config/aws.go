package config

import "errors"

// AWS is what the AWS conventions say in the environment. It has no flags, so that no secret shows in a list of processes.
type AWS struct {
	AccessKeyID           string
	SecretAccessKey       Secret
	SessionToken          Secret
	Region, Endpoint      string
	Profile, SharedConfig string
}

// LoadAWS reads the conventions' variables with lookup, which is like os.LookupEnv without the second value.
// Source: AWS SDKs and Tools Reference Guide, "Environment variables".
func LoadAWS(lookup func(string) string) (AWS, error) {
	first := func(names ...string) string {
		for _, name := range names {
			if v := lookup(name); v != "" {
				return v
			}
		}
		return ""
	}
	a := AWS{
		AccessKeyID:     lookup("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: NewSecret(lookup("AWS_SECRET_ACCESS_KEY")),
		SessionToken:    NewSecret(lookup("AWS_SESSION_TOKEN")),
		Region:          first("AWS_REGION", "AWS_DEFAULT_REGION"),
		Endpoint:        first("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"),
		Profile:         lookup("AWS_PROFILE"),
		SharedConfig:    lookup("AWS_SHARED_CREDENTIALS_FILE"),
	}
	if a.Region == "" {
		a.Region = "us-east-1"
	}
	if (a.AccessKeyID == "") != (a.SecretAccessKey.Reveal() == "") {
		return AWS{}, errors.New("only one of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY is set")
	}
	return a, nil
}
