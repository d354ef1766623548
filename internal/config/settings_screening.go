package config

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// screeningSettings are those of what looks at new files.
func screeningSettings() []setting {
	return []setting{
		{name: "MEDIAVAULT_SCREEN_CHILDREN", otherwise: "0", accepts: "a whole number from 0 to 256", about: "processes that decode new files at once; 0 for one per core",
			set: func(c *Config, s string) error { return into(&c.Screening.Children, s, whole(0, 256)) }},
		{name: "MEDIAVAULT_SCREEN_MEMORY", otherwise: "1GiB", accepts: "a size such as 1GiB", about: "the memory that each process may use that decodes new files",
			set: func(c *Config, s string) error { return into(&c.Screening.ChildMemory, s, size) }},
		{name: "MEDIAVAULT_SCREEN_CPU", otherwise: "20s", accepts: "a duration from 1s to 10m", about: "the CPU time that one file may take",
			set: func(c *Config, s string) error {
				return into(&c.Screening.ChildCPU, s, duration(time.Second, 10*time.Minute))
			}},
		{name: "MEDIAVAULT_SCREEN_MIN_SCORE", otherwise: "50", accepts: "a whole number from 0 to 100", about: "files with a lower security score are looked at by a person",
			set: func(c *Config, s string) error { return into(&c.Screening.MinScore, s, whole(0, 100)) }},
		{name: "MEDIAVAULT_SCREEN_MAX_PIXELS", otherwise: "100000000", accepts: "a whole number", about: "pixels of a picture at most",
			set: func(c *Config, s string) error { return into(&c.Screening.MaxPixels, s, count) }},
		{name: "MEDIAVAULT_SCREEN_MAX_PAGES", otherwise: "10000", accepts: "a whole number", about: "pages of a document at most",
			set: func(c *Config, s string) error { return into(&c.Screening.MaxPages, s, count) }},
		{name: "MEDIAVAULT_SCREEN_MAX_EXPANDED", otherwise: "512MiB", accepts: "a size such as 512MiB", about: "what a document may unpack to",
			set: func(c *Config, s string) error { return into(&c.Screening.MaxExpanded, s, size) }},
		{name: "MEDIAVAULT_SCREEN_MAX_RATIO", otherwise: "200", accepts: "a whole number", about: "how many times as large a document may become, from 16 MiB on",
			set: func(c *Config, s string) error { return into(&c.Screening.MaxRatio, s, count) }},
		{name: "MEDIAVAULT_CLAMD_ADDR", accepts: "host:port, or the path of a socket", about: "ClamAV's daemon, which scans new files; none unless set",
			set: func(c *Config, s string) error { return into(&c.Screening.Clamd, s, daemon) }},
		{name: "MEDIAVAULT_CLAMD_MAX", otherwise: "25MiB", accepts: "a size such as 25MiB", about: "the longest stream that ClamAV takes (its StreamMaxLength)",
			set: func(c *Config, s string) error { return into(&c.Screening.ClamdMax, s, size) }},
	}
}

func count(s string) (int64, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 1 {
		return 0, errors.New("not a whole number from 1")
	}
	return n, nil
}

// daemon is where a daemon listens: an address, or the path of a socket.
func daemon(s string) (string, error) {
	if strings.HasPrefix(s, "/") {
		return s, nil
	}
	return address(s)
}
