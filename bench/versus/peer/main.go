// Peer is Benthos v4.50.0 with the components that the comparison needs.
package main

import (
	"context"

	"github.com/redpanda-data/benthos/v4/public/service"

	_ "github.com/redpanda-data/benthos/v4/public/components/io"
	_ "github.com/redpanda-data/benthos/v4/public/components/pure"
)

func main() { service.RunCLI(context.Background()) }
