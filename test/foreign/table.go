package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// A vault is not everything that KurrentDB is. These tests are about what it does not have, and why; whatever else fails, fails.
var notOurs = []struct{ prefix, why string }{
	{"TestProjectionSuite", "JavaScript projections are not offered"},
	{"TestClusterSuite", "cluster fail-over: every process of a vault may write, and there is no leader to lose"},
	{"TestMultiAppendEventsSuite", "multi-stream append came with protocol v2 of KurrentDB 25.1; the server says that it is 24.10"},
}

// neverRun are those that could only wait for what does not come.
var neverRun = []string{"TestProjectionSuite", "TestClusterSuite"}

// table prints what became of the tests, and answers how many failed.
func table(out io.Writer, results []*result) (failed int) {
	var passed, others int
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RESULT\tTEST\tREASON")
	for _, r := range results {
		why := reason(r)
		switch {
		case r.outcome == "pass":
			passed++
			fmt.Fprintf(w, "pass\t%s\t\n", r.name)
		case why != "":
			others++
			fmt.Fprintf(w, "not applicable\t%s\t%s\n", r.name, why)
		case r.outcome == "skip":
			others++
			fmt.Fprintf(w, "not applicable\t%s\tthe suite skips it: %s\n", r.name, lastLine(r))
		default:
			failed++
			fmt.Fprintf(w, "FAIL\t%s\t%s\n", r.name, lastLine(r))
		}
	}
	_ = w.Flush() // to where nobody would hear of it
	for _, r := range results {
		if r.outcome == "fail" && reason(r) == "" {
			fmt.Fprintf(out, "\n--- %s (%.1f s)\n%s", r.name, r.took, strings.Join(r.output, ""))
		}
	}
	fmt.Fprintf(out, "\n%d pass, %d fail, %d not applicable\n", passed, failed, others)
	return failed
}

func reason(r *result) string {
	for _, n := range notOurs {
		if strings.HasPrefix(r.name, n.prefix) {
			return n.why
		}
	}
	return ""
}

// lastLine is the last thing that a test said for itself.
func lastLine(r *result) string {
	for i := len(r.output) - 1; i >= 0; i-- {
		line := strings.TrimSpace(r.output[i])
		if line != "" && !strings.HasPrefix(line, "---") && !strings.HasPrefix(line, "===") {
			return line
		}
	}
	return ""
}
