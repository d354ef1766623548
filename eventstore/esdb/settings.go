package esdb

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	official "github.com/EventStore/EventStore-Client-Go/v4/esdb"
)

// Settings say where the server is and how to speak to it. Make them with Parse.
type Settings struct {
	config official.Configuration
	seeds  []string // host:port
	// discover says that the server is found by gossip: it is a member of a cluster.
	discover bool
}

// String keeps credentials out of logs.
func (s Settings) String() string { return strings.Join(s.seeds, ",") }

// The parameters that a connection string may have, in lower case, as the official clients know them.
var parameters = []string{
	"tls", "tlsverifycert", "tlscafile", "usercertfile", "userkeyfile", "nodepreference", "maxdiscoverattempts", "discoveryinterval",
	"gossiptimeout", "keepaliveinterval", "keepalivetimeout", "defaultdeadline",
}

// Parse reads a connection string, esdb://host:port or esdb+discover://host:port, in the official clients' form. It refuses what
// they take in silence: unknown or misspelt parameters, ports that do not exist, negative durations, a path. user and
// password, when given, count before those in the string. Errors never show a password.
func Parse(connection, user, password string) (Settings, error) {
	scheme, rest, ok := strings.Cut(connection, "://")
	if !ok || (scheme != "esdb" && scheme != "esdb+discover") {
		return Settings{}, errors.New("an event store's address begins with esdb:// or esdb+discover://")
	}
	seeds, err := checkConnection(rest)
	if err != nil {
		return Settings{}, err
	}
	config, err := official.ParseConnectionString(connection)
	if err != nil {
		return Settings{}, errors.New("an event store's address cannot be read") // the error would show a password
	}
	config.Logger = official.NoopLogging()
	if user != "" {
		config.Username, config.Password = user, password
	}
	if strings.ContainsAny(config.Username, ":\x00\r\n") || strings.ContainsAny(config.Password, "\x00\r\n") {
		return Settings{}, errors.New("an event store's user has a name without a colon, and a password of one line")
	}
	if config.NodePreference != official.NodePreferenceLeader {
		return Settings{}, errors.New("an event store reads its own writes: nodePreference can only be leader")
	}
	if err := config.Validate(); err != nil {
		return Settings{}, err
	}
	return Settings{config: *config, seeds: seeds, discover: scheme == "esdb+discover" || len(seeds) > 1}, nil
}

// checkConnection checks what follows the scheme, and answers the hosts with their ports.
func checkConnection(rest string) ([]string, error) {
	authority, query, _ := strings.Cut(rest, "?")
	if i := strings.LastIndexByte(authority, '@'); i >= 0 {
		authority = authority[i+1:]
	}
	authority = strings.TrimSuffix(authority, "/")
	if strings.ContainsAny(authority, "/# ") {
		return nil, errors.New("an event store's address has no path")
	}
	var seeds []string
	for host := range strings.SplitSeq(authority, ",") {
		name, port, ok := strings.Cut(host, ":")
		if !ok {
			port = "2113"
		}
		if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || name == "" {
			return nil, fmt.Errorf("%q is not a host, or host:port, of an event store", host)
		}
		seeds = append(seeds, net.JoinHostPort(name, port))
	}
	values, err := url.ParseQuery(query)
	if err != nil {
		return nil, errors.New("an event store's parameters cannot be read")
	}
	for name, list := range values {
		if !slices.Contains(parameters, strings.ToLower(name)) {
			return nil, fmt.Errorf("there is no parameter %q of an event store's address", name)
		}
		if len(list) > 1 {
			return nil, fmt.Errorf("%s comes twice in an event store's address", name)
		}
		if err := checkParameter(strings.ToLower(name), list[0]); err != nil {
			return nil, err
		}
	}
	return seeds, nil
}

func checkParameter(name, value string) error {
	switch name {
	case "maxdiscoverattempts", "discoveryinterval", "gossiptimeout", "keepalivetimeout", "defaultdeadline":
		if n, err := strconv.Atoi(value); err != nil || n < 1 || n > 1e8 {
			return fmt.Errorf("%s of an event store's address is a whole number from 1", name)
		}
	case "keepaliveinterval":
		if n, err := strconv.Atoi(value); err != nil || n < -1 || n > 1e8 {
			return errors.New("keepAliveInterval of an event store's address is a whole number, or -1")
		}
	}
	return nil
}
