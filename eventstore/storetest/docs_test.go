package storetest_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/eventstore/storetest"
)

func TestArchitectureSaysWhatLogsLack(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	logs := []string{"postgres", "esdb"}
	if !strings.Contains(string(doc), "| promise | "+strings.Join(logs, " | ")+" |") {
		t.Fatal("the table of logs is missing")
	}
	for _, promise := range []storetest.Lack{storetest.Contiguous, storetest.LongMemory, storetest.Backwards, storetest.Times, storetest.Large} {
		row := "| " + string(promise) + " |"
		for _, log := range logs {
			if slices.Contains(storetest.Lacking(log), promise) {
				row += " no |"
			} else {
				row += " yes |"
			}
		}
		if !strings.Contains(string(doc), row) {
			t.Errorf("docs/architecture.md has no row %q", row)
		}
	}
}
