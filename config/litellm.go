package config

import (
	"context"
	"net"
	"time"
)

func isLiteLLM(root *node) bool {
	return root.get("litellm_settings") != nil || root.get("general_settings") != nil
}

func fromLiteLLM(root *node, res *resolver) *node { return root }

func lookupHost(host string) ([]string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupHost(ctx, host)
}
