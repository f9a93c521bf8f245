package convert

import (
	"bufio"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

//go:embed python/sluice_convert/*.py
var program embed.FS

// start of the program: its folder comes after everything that the environment has, so that no name of its can hide one.
const bootstrap = "import sys; sys.path.append(sys.argv[1]); from sluice_convert.main import main; main()"

const (
	maxLine    = 16 << 20 // bytes of what the program says at once
	maxLogLine = 4 << 10  // bytes of a line that goes to the log
	endGrace   = 2 * time.Second
)

// process is the running program. It dies with the thread that started it, so that thread stays this goroutine's until end.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	out   *bufio.Reader
	logs  sync.WaitGroup
	last  lastLine
	ended bool
}

// lastLine keeps the last thing that the program printed, for the error when it dies.
type lastLine struct {
	sync.Mutex
	text string
}

// start runs the program with home as its private directory. The caller must call end, on the same goroutine.
func start(ctx context.Context, interpreter, home string, o *Options) (*process, error) {
	code := filepath.Join(home, "program")
	if err := writeProgram(code); err != nil {
		return nil, err
	}
	p := &process{cmd: exec.CommandContext(ctx, interpreter, "-s", "-E", "-P", "-B", "-c", bootstrap, code)}
	p.cmd.Dir, p.cmd.Env, p.cmd.SysProcAttr = home, environment(home, o.Environ), attributes()
	p.cmd.Cancel = func() error { return killGroup(p.cmd.Process.Pid) }
	p.cmd.WaitDelay = endGrace
	in, errIn := p.cmd.StdinPipe()
	out, errOut := p.cmd.StdoutPipe()
	logs, errLogs := p.cmd.StderrPipe()
	if err := errors.Join(errIn, errOut, errLogs); err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	if err := p.cmd.Start(); err != nil {
		runtime.UnlockOSThread()
		return nil, fmt.Errorf("%w: start %s: %w", ErrProcess, interpreter, err)
	}
	p.in, p.out = in, bufio.NewReaderSize(out, 64<<10)
	p.logs.Go(func() { p.relay(logs, o.Logger) })
	return p, nil
}

func writeProgram(dir string) error {
	const folder = "python/sluice_convert"
	target := filepath.Join(dir, path.Base(folder))
	if err := os.MkdirAll(target, 0o700); err != nil {
		return err
	}
	files, err := fs.ReadDir(program, folder)
	if err != nil {
		return err
	}
	for _, f := range files {
		text, err := program.ReadFile(path.Join(folder, f.Name()))
		if err == nil {
			err = os.WriteFile(filepath.Join(target, f.Name()), text, 0o400)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// passed are the variables that the program may see: where programs and libraries are, language and time zone. No credentials, nothing of MLflow's.
var passed = []string{"PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LANG", "TZ", "TZDIR"}

func environment(home string, environ []string) []string {
	env := []string{
		"HOME=" + home, "TMPDIR=" + home, "XDG_CACHE_HOME=" + home, "XDG_CONFIG_HOME=" + home, "MPLCONFIGDIR=" + home,
		"OMP_NUM_THREADS=1", "OPENBLAS_NUM_THREADS=1", "MKL_NUM_THREADS=1", "PYTHONUNBUFFERED=1", "PYTHONIOENCODING=utf-8",
		"MLFLOW_DISABLE_TELEMETRY=true", "DO_NOT_TRACK=true",
	}
	for _, entry := range environ {
		if name, _, ok := strings.Cut(entry, "="); ok && slices.Contains(passed, name) {
			env = append(env, entry)
		}
	}
	return env
}

// say sends one line of JSON.
func (p *process) say(v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return p.write(append(line, '\n'))
}

// sayNext asks for another candidate.
func (p *process) sayNext() error { return p.write([]byte("next\n")) }

func (p *process) write(line []byte) error {
	if _, err := p.in.Write(line); err != nil {
		return p.died(err)
	}
	return nil
}

// hear reads one line of JSON.
func (p *process) hear(v any) error {
	var line []byte
	for {
		part, err := p.out.ReadSlice('\n')
		line = append(line, part...)
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(line) <= maxLine:
			continue
		case len(line) > maxLine:
			return fmt.Errorf("%w: it says too much at once", ErrProcess)
		case err != nil:
			return p.died(err)
		}
		if err := json.Unmarshal(line, v); err != nil {
			return fmt.Errorf("%w: it says %.100q: %w", ErrProcess, line, err)
		}
		return nil
	}
}

// died explains why the conversation is over.
func (p *process) died(err error) error {
	p.end()
	p.last.Lock()
	defer p.last.Unlock()
	switch {
	case killed(p.cmd.ProcessState):
		err = errors.Join(errKilled, err)
	case noMemory.MatchString(p.last.text):
		err = errors.Join(errMemory, err)
	}
	return fmt.Errorf("%w: the process ended (%s): %w: %s", ErrProcess, p.cmd.ProcessState, err, p.last.text)
}

// end kills what is left of the program and its children, and waits for it. Calling it again does nothing.
func (p *process) end() {
	if p.ended {
		return
	}
	p.ended = true
	_ = p.in.Close()
	_ = killGroup(p.cmd.Process.Pid) // it may have ended
	_ = p.cmd.Wait()                 // its state says more than the error
	p.logs.Wait()
	runtime.UnlockOSThread()
}

// relay passes what the program prints to the log, line by line.
func (p *process) relay(r io.Reader, log *slog.Logger) {
	lines := bufio.NewReaderSize(r, maxLogLine)
	for {
		line, err := lines.ReadSlice('\n')
		if text := strings.TrimSpace(strings.ToValidUTF8(string(line), "?")); text != "" {
			p.last.Lock()
			p.last.text = text
			p.last.Unlock()
			log.Debug("conversion", slog.String("line", text))
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return
		}
	}
}
