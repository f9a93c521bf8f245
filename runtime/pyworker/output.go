package pyworker

import (
	"bufio"
	"context"
	"io"
	"log/slog"
	"time"
)

const (
	maxLine        = 8 << 10 // longer lines are cut
	linesPerSecond = 200     // of one stream; more are dropped and counted
)

// relay writes what a worker prints to the log until r ends. A worker that prints without end costs no more than linesPerSecond.
func relay(r io.Reader, log *slog.Logger, stream string) {
	lines := bufio.NewReaderSize(r, maxLine)
	window, written, dropped := time.Now(), 0, 0
	for {
		line, cut, err := lines.ReadLine()
		if err != nil {
			return
		}
		for rest := cut; rest && err == nil; {
			_, rest, err = lines.ReadLine()
		}
		if now := time.Now(); now.Sub(window) >= time.Second {
			if dropped > 0 {
				log.Warn("lines of the model's output were dropped", slog.String("stream", stream), slog.Int("lines", dropped))
			}
			window, written, dropped = now, 0, 0
		}
		if written++; written > linesPerSecond {
			dropped++
			continue
		}
		if len(line) > 0 {
			log.LogAttrs(context.Background(), slog.LevelInfo, "model output", slog.String("stream", stream), slog.String("text", string(line)), slog.Bool("cut", cut))
		}
	}
}
