package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"

	"sluice/loadtest"
)

// process is a server under measurement.
type process struct {
	name string
	cmd  *exec.Cmd
	url  string
	done chan struct{}
	err  error // of Wait, after done is closed

	mu    sync.Mutex
	lines []string // what it printed; guarded by mu, the last maxLines
}

const maxLines = 200

// start runs a command and returns at once; its output is kept for error messages.
func start(ctx context.Context, name string, env []string, command string, args ...string) (*process, error) {
	p := &process{name: name, cmd: exec.CommandContext(ctx, command, args...), done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.Cancel = func() error { return syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL) }
	out, in := io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = in, in
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	go p.keep(out)
	go func() {
		p.err = p.cmd.Wait()
		in.Close()
		close(p.done)
	}()
	return p, nil
}

func (p *process) keep(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		p.mu.Lock()
		p.lines = append(p.lines, s.Text())
		if len(p.lines) > maxLines {
			p.lines = p.lines[1:]
		}
		p.mu.Unlock()
	}
}

func (p *process) printed(marker string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, line := range p.lines {
		if _, after, ok := strings.Cut(line, marker); ok {
			return strings.Fields(after)[0]
		}
	}
	return ""
}

// until polls check; when the process ends or the time is up it stops the process and tells what that printed last.
func (p *process) until(ctx context.Context, what string, within time.Duration, check func() bool) error {
	deadline := time.After(within)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !check() {
		select {
		case <-tick.C:
			continue
		case <-p.done:
		case <-deadline:
		case <-ctx.Done():
		}
		_ = p.stop() // it is of no use any more; its last lines tell why
		p.mu.Lock()
		defer p.mu.Unlock()
		return fmt.Errorf("%s: no %s within %v:\n%s", p.name, what, within, strings.Join(p.lines, "\n"))
	}
	return nil
}

func answers(url string) func() bool {
	client := &http.Client{Timeout: 5 * time.Second}
	return func() bool {
		res, err := client.Get(url)
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
}

func (p *process) stop() error {
	_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = syscall.Kill(-p.cmd.Process.Pid, syscall.SIGKILL)
		<-p.done
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) && exit.ExitCode() > 0 {
		return fmt.Errorf("%s ended with code %d", p.name, exit.ExitCode())
	}
	return nil
}

func (p *process) rss() (int64, error) { return loadtest.ProcessRSS(p.cmd.Process.Pid) }

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
