package pyworker

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"time"

	_ "embed"
)

//go:embed worker.py
var program []byte

// process is a running worker program, its end of the socket, and its private directory.
type process struct {
	cmd  *exec.Cmd
	conn net.Conn
	dir  string
	// exited is closed when the process has been waited for; state is set before.
	exited chan struct{}
	state  *os.ProcessState
	output sync.WaitGroup // the relays of stdout and stderr
	pipes  [2]*os.File    // their ends here
}

// spawner starts processes from one thread that lives as long as it: the system kills a worker when the thread that started it ends, not only
// when the whole gateway does.
type spawner struct {
	work chan func()
	done chan struct{}
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), done: make(chan struct{})}
	go func() {
		runtime.LockOSThread()
		defer close(s.done)
		for f := range s.work {
			f()
		}
	}()
	return s
}

// do runs f on the spawner's thread.
func (s *spawner) do(f func()) {
	finished := make(chan struct{})
	s.work <- func() { defer close(finished); f() }
	<-finished
}

// close ends the thread; all processes must have ended.
func (s *spawner) close() {
	close(s.work)
	<-s.done
}

// spawn starts a worker program, which waits for its first frame.
func (s *spawner) spawn(interpreter string, o *Options) (*process, error) {
	dir, err := os.MkdirTemp(o.Dir, "worker-") // mode 0700
	if err != nil {
		return nil, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	p := &process{dir: dir, exited: make(chan struct{})}
	if err := p.start(s, interpreter, o); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", interpreter, err), os.RemoveAll(dir))
	}
	return p, nil
}

func (p *process) start(s *spawner, interpreter string, o *Options) error {
	script := filepath.Join(p.dir, "worker.py")
	if err := os.WriteFile(script, program, 0o400); err != nil {
		return err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	p.conn = ours
	p.cmd = exec.Command(interpreter, "-I", "-u", script) // isolated from variables and user folders; prints at once
	p.cmd.Dir, p.cmd.Env, p.cmd.ExtraFiles = p.dir, o.environment(p.dir), []*os.File{theirs}
	p.cmd.SysProcAttr = attributes()
	writers, err := p.openPipes()
	if err != nil {
		return errors.Join(err, ours.Close())
	}
	p.cmd.Stdout, p.cmd.Stderr = writers[0], writers[1]
	s.do(func() { err = p.cmd.Start() })
	closeAll(writers[:])
	if err != nil {
		closeAll(p.pipes[:])
		return errors.Join(err, ours.Close())
	}
	for i, stream := range [2]string{"stdout", "stderr"} {
		p.output.Go(func() { relay(p.pipes[i], o.Logger, stream) })
	}
	go p.wait()
	return nil
}

func (p *process) openPipes() (writers [2]*os.File, err error) {
	for i := range writers {
		if p.pipes[i], writers[i], err = os.Pipe(); err != nil {
			closeAll(p.pipes[:i])
			closeAll(writers[:i])
			return writers, err
		}
	}
	return writers, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		_ = f.Close()
	}
}

// wait reaps the process. Whoever reads from the socket then meets its end, also where a child of the worker has kept it open.
func (p *process) wait() {
	_ = p.cmd.Wait() // the state says more than the error
	p.state = p.cmd.ProcessState
	close(p.exited)
	_ = p.conn.Close()
}

// pid is the worker's, and its process group's.
func (p *process) pid() int { return p.cmd.Process.Pid }

// signal sends a signal to the worker alone; to one that has ended it does nothing.
func (p *process) signal(s syscall.Signal) {
	select {
	case <-p.exited:
	default:
		_ = p.cmd.Process.Signal(s)
	}
}

// end kills the worker and what it started, waits for it, and removes its directory.
func (p *process) end() {
	select {
	case <-p.exited:
	default:
		killGroup(p.pid())
		_ = p.cmd.Process.Kill()
	}
	<-p.exited
	killGroup(p.pid()) // children of one that ended by itself; the group's number is not given to others while it has members
	p.closeOutput()
	_ = os.RemoveAll(p.dir)
}

// closeOutput reads what was printed last, but does not wait long for a child that has escaped with the pipes.
func (p *process) closeOutput() {
	for _, f := range p.pipes {
		_ = f.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	}
	p.output.Wait()
	closeAll(p.pipes[:])
}

// socketPair makes a connected pair: ours for the runtime's poller, theirs to inherit.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock() // or a process started meanwhile would inherit them
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, err
	}
	for _, fd := range fds {
		for _, option := range []int{syscall.SO_SNDBUF, syscall.SO_RCVBUF} {
			_ = syscall.SetsockoptInt(fd, syscall.SOL_SOCKET, option, 1<<20) // only a matter of speed
		}
	}
	here, theirs := os.NewFile(uintptr(fds[0]), "worker"), os.NewFile(uintptr(fds[1]), "gateway")
	defer here.Close()
	ours, err := net.FileConn(here)
	if err != nil {
		return nil, nil, errors.Join(err, theirs.Close())
	}
	return ours, theirs, nil
}
