// Package testcontainers stands in for the library of that name while a stranger's suite is run: where the suite starts a container
// of EventStoreDB, a vault of its own is started, empty, on a free port, with the certificates that the suite hands over. It has
// what that suite uses, and nothing else.
package testcontainers

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/EventStore/EventStore-Client-Go/v4/esdb"
	"github.com/docker/go-connections/nat"
)

// Program names, in the environment, the vault's program.
const Program = "MEDIAVAULT"

// GenericContainerRequest is what a suite asks for.
type GenericContainerRequest struct {
	ContainerRequest
	Started bool
}

// ContainerRequest is what a suite asks for. Of Env a vault heeds EVENTSTORE_INSECURE and EVENTSTORE_DB; of Files the folder of
// certificates.
type ContainerRequest struct {
	Image        string
	ExposedPorts []string
	Env          map[string]string
	Files        []ContainerFile
	WaitingFor   any
}

// ContainerFile is a file or folder that a container sees.
type ContainerFile struct {
	HostFilePath      string
	ContainerFilePath string
	FileMode          int64
}

// Container is a vault that runs.
type Container interface {
	MappedPort(ctx context.Context, port nat.Port) (nat.Port, error)
	IsRunning() bool
	Stop(ctx context.Context, timeout *time.Duration) error
}

// GenericContainer starts a vault.
func GenericContainer(ctx context.Context, req GenericContainerRequest) (Container, error) {
	dir, err := os.MkdirTemp("", "mv-")
	if err != nil {
		return nil, err
	}
	v := &vault{dir: dir, exited: make(chan error, 1), found: make(chan string, 1)}
	if err := v.start(req.ContainerRequest); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	select {
	case v.address = <-v.found:
	case err := <-v.exited:
		v.exited <- nil
		return nil, errors.Join(fmt.Errorf("the vault ended: %w\n%s", err, v.said.String()), v.Stop(ctx, nil))
	case <-ctx.Done():
		return nil, errors.Join(ctx.Err(), v.Stop(context.Background(), nil))
	}
	if req.Env["EVENTSTORE_DB"] != "" {
		if err := v.populate(ctx, req.Env["EVENTSTORE_INSECURE"] == "true"); err != nil {
			return nil, errors.Join(err, v.Stop(context.Background(), nil))
		}
	}
	return v, nil
}

type vault struct {
	dir     string
	command *exec.Cmd
	said    strings.Builder // until an address is found
	found   chan string
	exited  chan error
	address string
}

func (v *vault) start(req ContainerRequest) error {
	address, insecure := "plain://127.0.0.1:0", req.Env["EVENTSTORE_INSECURE"] == "true"
	v.command = exec.Command(os.Getenv(Program), "dev", "--data", filepath.Join(v.dir, "d"), "--addr", "127.0.0.1:0")
	v.command.Env = append(os.Environ(), "MEDIAVAULT_STREAM_INSECURE=true")
	if !insecure {
		address = "tls://127.0.0.1:0"
		node := filepath.Join(req.Files[0].HostFilePath, "node")
		v.command.Env = append(v.command.Env, "MEDIAVAULT_STREAM_TLS_CERT="+filepath.Join(node, "node.crt"), "MEDIAVAULT_STREAM_TLS_KEY="+filepath.Join(node, "node.key"))
	}
	v.command.Env = append(v.command.Env, "MEDIAVAULT_STREAM_ADDR="+address)
	out, err := v.command.StdoutPipe()
	if err != nil {
		return err
	}
	if err := v.command.Start(); err != nil {
		return err
	}
	go func() { // Stop waits for it
		lines, told := bufio.NewScanner(out), false
		for lines.Scan() {
			if _, address, ok := strings.Cut(lines.Text(), "protocol is spoken at "); ok && !told {
				told = true
				v.found <- address
			}
			if !told {
				fmt.Fprintln(&v.said, lines.Text())
			}
		}
		v.exited <- v.command.Wait()
	}()
	return nil
}

// MappedPort implements Container.
func (v *vault) MappedPort(context.Context, nat.Port) (nat.Port, error) {
	_, port, err := net.SplitHostPort(v.address)
	return nat.Port(port), err
}

// IsRunning implements Container.
func (v *vault) IsRunning() bool { return v.address != "" }

// Stop implements Container. Nothing is left of the vault.
func (v *vault) Stop(context.Context, *time.Duration) error {
	_ = v.command.Process.Signal(syscall.SIGTERM) // it may have ended by itself
	var err error
	select {
	case err = <-v.exited:
	case <-time.After(time.Minute):
		err = errors.Join(errors.New("the vault does not stop"), v.command.Process.Kill(), <-v.exited)
	}
	return errors.Join(err, os.RemoveAll(v.dir))
}

// populate gives a vault what the suite's populated image has and a vault can have: the stream that is subscribed to. Places in the
// data file of that image are no vault's.
func (v *vault) populate(ctx context.Context, insecure bool) error {
	connection := "esdb://" + v.address + "?tls=false"
	if !insecure {
		connection = "esdb://admin:changeit@" + v.address + "?tlsVerifyCert=false"
	}
	config, err := esdb.ParseConnectionString(connection)
	if err != nil {
		return err
	}
	client, err := esdb.NewClient(config)
	if err != nil {
		return err
	}
	defer client.Close()
	const all, atOnce = 6000, 500
	for n := 0; n < all; n += atOnce {
		batch := make([]esdb.EventData, atOnce)
		for i := range batch {
			batch[i] = esdb.EventData{ContentType: esdb.ContentTypeJson, EventType: fmt.Sprint("eventType-", n+i), Data: fmt.Appendf(nil, `{"n":%d}`, n+i)}
		}
		if _, err := client.AppendToStream(ctx, "dataset20M-0", esdb.AppendToStreamOptions{ExpectedRevision: esdb.Any{}}, batch...); err != nil {
			return fmt.Errorf("populate: %w", err)
		}
	}
	return nil
}
