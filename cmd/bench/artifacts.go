package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"
)

const artifactPath = "/api/2.0/mlflow-artifacts/artifacts/bench/"

// block is what artifacts are made of.
var block = bytes.Repeat([]byte("0123456789abcdef"), 64<<10)

// artifacts compares the bytes per second of one large artifact through the proxy, up and down, and has a crowd move small ones.
func (b *bench) artifacts(a, m *tracker) error {
	size := int64(b.artifactMB) << 20
	if size == 0 {
		return nil
	}
	var up, down [2][]float64
	for range max(b.rounds/2, 1) {
		for i, t := range []*tracker{m, a} {
			syscall.Sync() // what others wrote does not go to the disk on this one's time
			rate, err := speed(size, func() error { return t.upload("large", size) })
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			up[i] = append(up[i], rate)
			if rate, err = speed(size, func() error { return t.download("large", size) }); err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			down[i] = append(down[i], rate)
		}
	}
	disk, err := b.diskSpeed(size)
	if err != nil {
		return err
	}
	say := func(way, note string, rates [2][]float64) {
		theirs, ours := median(rates[0]), median(rates[1])
		b.say("  artifact of %d MiB through the proxy, %-4s sluice %6.0f MB/s%s, mlflow %6.0f MB/s = %.1f x (must 3)", b.artifactMB, way, ours, note, theirs, ours/theirs)
	}
	say("up", fmt.Sprintf(" synced to the disk, which takes %.0f", disk), up)
	say("down", "", down)
	const small = 4 << 20
	for _, n := range []int{clients, crowd} {
		errs := make(chan error, n)
		rate, _ := speed(int64(n)*2*small, func() error {
			var wg sync.WaitGroup
			for c := range n {
				wg.Go(func() {
					path := fmt.Sprint("small", c)
					err := a.upload(path, small)
					if err == nil {
						err = a.download(path, small)
					}
					if err != nil {
						errs <- err
					}
				})
			}
			wg.Wait()
			return nil
		})
		b.say("    … of 4 MiB, up and down by %2d clients: sluice %6.0f MB/s, %d errors (must 0)", n, rate, len(errs))
	}
	return nil
}

// diskSpeed writes a file as fast as it goes and syncs it: the bound of an upload that is kept.
func (b *bench) diskSpeed(size int64) (float64, error) {
	syscall.Sync()
	f, err := os.Create(filepath.Join(b.dir, "disk"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(f.Name())
	return speed(size, func() error {
		_, err := io.CopyBuffer(struct{ io.Writer }{f}, pattern(size), make([]byte, 1<<20))
		return errors.Join(err, f.Sync(), f.Close())
	})
}

// speed returns MB per second.
func speed(size int64, f func() error) (float64, error) {
	began := time.Now()
	err := f()
	return megabytes(size) / time.Since(began).Seconds(), err
}

// pattern reads size bytes of block.
func pattern(size int64) io.Reader {
	return io.LimitReader(readerFunc(func(p []byte) (int, error) { return copy(p, block), nil }), size)
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (t *tracker) upload(path string, size int64) error {
	req, err := http.NewRequest(http.MethodPut, t.url+artifactPath+path, pattern(size))
	if err != nil {
		return err
	}
	req.ContentLength = size
	_, err = t.transfer(req)
	return err
}

func (t *tracker) download(path string, size int64) error {
	req, err := http.NewRequest(http.MethodGet, t.url+artifactPath+path, nil)
	if err != nil {
		return err
	}
	n, err := t.transfer(req)
	if err == nil && n != size {
		err = fmt.Errorf("downloaded %d bytes, want %d", n, size)
	}
	return err
}

// transfer sends a request and returns how many bytes came back.
func (t *tracker) transfer(req *http.Request) (int64, error) {
	client := &http.Client{Timeout: 10 * time.Minute, Transport: &http.Transport{WriteBufferSize: 1 << 20, ReadBufferSize: 1 << 20}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		return 0, err
	}
	defer res.Body.Close()
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, res.Body, make([]byte, 1<<20))
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s: status %d", req.Method, req.URL.Path, res.StatusCode)
	}
	return n, err
}

func copyFile(from, to string) error {
	src, err := os.Open(from)
	if err != nil {
		return err
	}
	defer src.Close()
	dst, err := os.OpenFile(to, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(dst, src); err != nil {
		dst.Close()
		return err
	}
	return dst.Close()
}
