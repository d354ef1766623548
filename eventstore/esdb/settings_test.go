package esdb_test

import (
	"strings"
	"testing"

	"github.com/mediavault-io/mediavault/eventstore/esdb"
)

// Whatever somebody writes into the environment is understood or refused, and never shown with its password.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		"esdb://localhost", "esdb://a:1,b:2,c:3?tls=false", "esdb+discover://u:hush-hush@host?keepAliveInterval=-1", "esdb://u:hush,hush@a:1,b:2", "esdb://:@,",
		"esdb://[::1]:2113", "esdb://a:1,b:2?tlsCaFile=/x,y", "esdb://?%zz", "esdb://@@:0", "esdb://a:,b", "esdb://%,%", "esdb://a?nodePreference=&tls=", "esdb://u@a,b:2?userCertFile=a&userKeyFile=b",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, connection string) {
		settings, err := esdb.Parse(connection, "", "")
		if err == nil && settings.String() == "" {
			t.Errorf("%q leads nowhere", connection)
		}
		if _, err := esdb.Parse(connection, "vault", "hush-hush"); err != nil && strings.Contains(err.Error(), "hush-hush") && !strings.Contains(connection[strings.LastIndexByte(connection, '@')+1:], "hush-hush") {
			t.Errorf("%q: %v", connection, err)
		}
	})
}
