package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"sluice/loadtest"
)

func newLoadtestCompareCommand() *cobra.Command {
	var f loadFlags
	var s shape
	var rounds int
	var nameA, nameB, jsonFile string
	cmd := &cobra.Command{
		Use:   "compare URL_A URL_B",
		Short: "Drive two servers in turn within one run and say how B differs from A",
		Long: "Windows of A and B alternate, so that a machine that drifts drifts for both. Each line has the medians with their 95 % ranges and what B\n" +
			"differs from A by, or ~ where the difference may be chance (Mann-Whitney, as benchstat). A server that does not tell what its model takes\n" +
			"gets the other one's requests if both speak the same protocol.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if rounds < 1 {
				return errors.New("--rounds must be at least 1")
			}
			if err := errors.Join(s.check(cmd.Flags()), canBeWritten(jsonFile)); err != nil {
				return err
			}
			a, b, err := f.pair(cmd.Context(), args[0], args[1])
			if err != nil {
				return err
			}
			if _, err := s.pacer(f.duration, f.make.Seed); err != nil {
				return err
			}
			round := f.make.Seed
			c, err := loadtest.Compare(cmd.Context(), a, b, rounds, func() loadtest.Options {
				o := f.options()
				round++
				o.Pacer, _ = s.pacer(f.duration, round) // checked above
				return o
			}, func(round int, ofB bool, r *loadtest.Result) {
				name := map[bool]string{false: nameA, true: nameB}[ofB]
				fmt.Fprintf(cmd.ErrOrStderr(), "%d/%d %s: %.0f answers/s, p99 %.2f ms, %d failed\n", round, rounds, name, r.Rate(), float64(r.Quantile(0.99))/float64(time.Millisecond), r.Failed)
			})
			if err != nil {
				return err
			}
			c.NameA, c.NameB = nameA, nameB
			c.AboutA = loadtest.About{Title: nameA, URL: args[0], Load: s.text(f.duration), Connections: f.connections}
			c.AboutB = loadtest.About{Title: nameB, URL: args[1], Load: s.text(f.duration), Connections: f.connections}
			return errors.Join(c.WriteText(cmd.OutOrStdout()), toFile(jsonFile, c.WriteJSON))
		},
	}
	f.bind(cmd)
	s.bind(cmd)
	cmd.Flags().IntVar(&rounds, "rounds", 10, "windows of each server")
	cmd.Flags().StringVar(&nameA, "name-a", "A", "what to call the first server")
	cmd.Flags().StringVar(&nameB, "name-b", "B", "what to call the second server")
	cmd.Flags().StringVar(&jsonFile, "json", "", "also write the comparison, with every window, as JSON to this file")
	return cmd
}

func newLoadtestCapacityCommand() *cobra.Command {
	var f loadFlags
	var limit loadtest.Limit
	var start float64
	var jsonFile string
	cmd := &cobra.Command{
		Use:   "capacity URL",
		Short: "Search the highest rate that keeps the 99th percentile below a limit",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !(start > 0 && start <= maxRate) {
				return fmt.Errorf("--start must be above 0 and at most %g requests per second, got %g", maxRate, start)
			}
			if limit.P99 <= 0 || !(limit.Failures >= 0 && limit.Failures <= 1) {
				return fmt.Errorf("--p99 must be above 0 and --failures between 0 and 1, got %v and %g", limit.P99, limit.Failures)
			}
			if err := canBeWritten(jsonFile); err != nil {
				return err
			}
			requests, err := f.requests(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			out := cmd.OutOrStdout()
			found, err := loadtest.FindCapacity(cmd.Context(), requests, limit, start, f.options(), func(p loadtest.Probe) {
				verdict := "kept"
				if !p.Kept {
					verdict = "broken"
				}
				fmt.Fprintf(out, "%8.0f requests/s  p99 %8.2f ms  %d failed  %s\n", p.Rate, float64(p.Result.Quantile(0.99))/float64(time.Millisecond), p.Result.Failed, verdict)
			})
			if err != nil {
				return err
			}
			fmt.Fprintf(out, "capacity: %.0f requests/s with p99 at most %v\n", found.Rate, limit.P99)
			return toFile(jsonFile, found.WriteJSON)
		},
	}
	f.bind(cmd)
	cmd.Flags().DurationVar(&limit.P99, "p99", 10*time.Millisecond, "highest 99th percentile, from the due time")
	cmd.Flags().Float64Var(&limit.Failures, "failures", 0, "highest share of requests that may fail, 0 to 1")
	cmd.Flags().Float64Var(&start, "start", 100, "rate of the first window; it doubles until the limit breaks")
	cmd.Flags().StringVar(&jsonFile, "json", "", "also write the search, probe by probe, as JSON to this file")
	return cmd
}
