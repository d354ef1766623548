package memory_test

import (
	"testing"

	"github.com/mediavault-io/mediavault/eventstore"
	"github.com/mediavault-io/mediavault/eventstore/memory"
	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

func TestMemory(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) eventstore.Log { return memory.New() })
}

func TestPositionsMayHaveGaps(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) eventstore.Log { return storetest.Sparse(memory.New()) }, storetest.Contiguous)
}
