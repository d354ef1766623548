package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// table prints what became of the tests, and answers how many failed.
func (s suite) table(out io.Writer, results []*result) (failed int) {
	var passed, others int
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RESULT\tTEST\tREASON")
	for _, r := range results {
		why := s.reason(r)
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
		if r.outcome == "fail" && s.reason(r) == "" {
			fmt.Fprintf(out, "\n--- %s (%.1f s)\n%s", r.name, r.took, strings.Join(r.output, ""))
		}
	}
	fmt.Fprintf(out, "\n%d pass, %d fail, %d not applicable\n", passed, failed, others)
	return failed
}

func (s suite) reason(r *result) string {
	for _, n := range s.notOurs {
		if strings.Contains(r.name, n.part) {
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
