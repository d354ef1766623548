//go:build !unix

package sandbox

import "errors"

func becomeTool([]string) error { return errors.New("no tools on this system") }
