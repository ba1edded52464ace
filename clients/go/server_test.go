package runindex_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync"
	"testing"
	"time"

	runindex "github.com/runindex/runindex/clients/go"
)

// server is the one that tests share: its address, or why there is none.
var server struct {
	address string
	err     error
	once    sync.Once
	stop    func()
}

func TestMain(m *testing.M) {
	// What the machine says of servers is none of the tests' concern.
	for _, name := range []string{"RUNINDEX_ADDRESS", "RUNINDEX_TOKEN", "RUNINDEX_TLS_CA"} {
		os.Unsetenv(name)
	}
	code := m.Run()
	if server.stop != nil {
		server.stop()
	}
	os.Exit(code)
}

// address returns that of a real server that tests share; the first that asks starts it.
func address(t *testing.T) string {
	t.Helper()
	server.once.Do(func() { server.address, server.stop, server.err = startServer() })
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.address
}

// ownServer returns the address of a real server that serves this test alone.
func ownServer(t *testing.T) string {
	t.Helper()
	address, stop, err := startServer()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	return address
}

// dial returns a client of the real server.
func dial(t *testing.T, opts ...runindex.Option) *runindex.Client {
	t.Helper()
	return dialTo(t, address(t), opts...)
}

func dialTo(t *testing.T, address string, opts ...runindex.Option) *runindex.Client {
	t.Helper()
	client, err := runindex.Dial(t.Context(), address, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// untilEndOfInput runs a command until its input ends: also when the tests die and can end nothing.
// It has nothing to finish: its store goes with it.
const untilEndOfInput = `exec 3<&0; (cat <&3 >&2; kill -KILL $$) >/dev/null & exec "$0" "$@" </dev/null 3<&-`

var listensOn = regexp.MustCompile(`listens on (\S+);`)

// startServer starts a server on an empty store, and returns its address and what ends it.
func startServer() (string, func(), error) {
	command, err := findServer()
	if err != nil {
		return "", nil, err
	}
	data, err := os.MkdirTemp("", "runindex-go-")
	if err != nil {
		return "", nil, err
	}
	process := exec.Command("sh", "-c", untilEndOfInput, command,
		"serve", "--address", "127.0.0.1:0", "--data-dir", data, "--log-level", "error")
	process.Stderr = os.Stderr
	stdin, err := process.StdinPipe()
	if err != nil {
		return "", nil, err
	}
	stdout, err := process.StdoutPipe()
	if err != nil {
		return "", nil, err
	}
	if err := process.Start(); err != nil {
		return "", nil, err
	}
	stop := func() {
		stdin.Close()
		process.Wait()
		os.RemoveAll(data)
	}
	lines := make(chan string, 1)
	go func() {
		reader := bufio.NewReader(stdout)
		line, _ := reader.ReadString('\n')
		lines <- line
		io.Copy(io.Discard, reader)
	}()
	select {
	case line := <-lines:
		found := listensOn.FindStringSubmatch(line)
		if found == nil {
			stop()
			return "", nil, fmt.Errorf("the server did not tell its address: %q", line)
		}
		return found[1], stop, nil
	case <-time.After(60 * time.Second):
		stop()
		return "", nil, errors.New("the server did not start within a minute")
	}
}

// findServer returns the command that serves: RUNINDEX_SERVER, this repository's, or the machine's.
func findServer() (string, error) {
	if command := os.Getenv("RUNINDEX_SERVER"); command != "" {
		return exec.LookPath(command)
	}
	if command, err := exec.LookPath(filepath.FromSlash("../../.venv/bin/runindex-server")); err == nil {
		return command, nil
	}
	command, err := exec.LookPath("runindex-server")
	if err != nil {
		return "", fmt.Errorf("no server to test against: run `make setup` in the repository: %w", exec.ErrNotFound)
	}
	return command, nil
}

// soon returns a context that ends when a test has taken far too long.
func soon(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}
