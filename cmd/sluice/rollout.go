package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// remote is a running server that a command talks to.
type remote struct {
	url, key string
}

func (r *remote) bind(cmd *cobra.Command) {
	cmd.PersistentFlags().StringVar(&r.url, "url", "", "address of the server (default: MLFLOW_TRACKING_URI, else http://127.0.0.1:5000)")
	cmd.PersistentFlags().StringVar(&r.key, "key", "", "key to log in with (default: MLFLOW_TRACKING_TOKEN)")
}

// rolloutText is what the commands show of a rollout.
type rolloutText struct {
	ID       string  `json:"id"`
	Endpoint string  `json:"endpoint"`
	Stable   string  `json:"stable_version"`
	Canary   string  `json:"canary_version"`
	Phase    string  `json:"phase"`
	Active   bool    `json:"active"`
	Step     int     `json:"step"`
	StepText string  `json:"step_description"`
	Weight   float64 `json:"canary_percentage"`
	Verdict  string  `json:"verdict"`
	Reason   string  `json:"reason"`
	StartMS  int64   `json:"start_time"`
	EndMS    int64   `json:"end_time"`
	Plan     struct {
		Steps []json.RawMessage `json:"steps"`
	} `json:"plan"`
	CanarySeen seenText `json:"canary"`
	StableSeen seenText `json:"stable"`
	Metrics    []struct {
		Verdict string `json:"verdict"`
		Reason  string `json:"reason"`
	} `json:"metrics"`
}

type seenText struct {
	Requests uint64 `json:"requests"`
	Errors   uint64 `json:"errors"`
}

func newRolloutCommand(environ []string) *cobra.Command {
	server := &remote{}
	cmd := &cobra.Command{
		Use:   "rollout",
		Short: "Let a new version take over an endpoint step by step, on a running server",
	}
	server.bind(cmd)
	cmd.PersistentPreRunE = func(*cobra.Command, []string) error { return server.complete(environ) }
	cmd.AddCommand(newRolloutStartCommand(server), newRolloutStatusCommand(server), newRolloutPromoteCommand(server),
		newRolloutAbortCommand(server), newRolloutListCommand(server))
	return cmd
}

// complete fills in what the flags leave out.
func (r *remote) complete(environ []string) error {
	if r.url == "" {
		r.url = lookup(environ, "MLFLOW_TRACKING_URI")
	}
	if r.url == "" {
		r.url = "http://127.0.0.1:5000"
	}
	if r.key == "" {
		r.key = lookup(environ, "MLFLOW_TRACKING_TOKEN")
	}
	u, err := url.Parse(r.url)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return fmt.Errorf("--url %q is not the address of a server", r.url)
	}
	return nil
}

func newRolloutStartCommand(server *remote) *cobra.Command {
	var plan, arm string
	cmd := &cobra.Command{
		Use:   "start ENDPOINT VERSION",
		Short: "Begin a rollout of a version (a number, a stage or @alias)",
		Long: "Begin a rollout. Its plan is the endpoint's, or a file of JSON: {\"steps\": [{\"set_weight\": 5}, {\"analyse\": {\"min_requests\": 500}},\n" +
			"{\"set_weight\": 50}, {\"pause\": {\"duration\": \"10m\"}}], \"bake_time\": \"10m\"}.",
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{}
			if plan != "" {
				text, err := os.ReadFile(plan)
				if err != nil {
					return err
				}
				if err := json.Unmarshal(text, &body); err != nil {
					return fmt.Errorf("%s: %w", plan, err)
				}
			}
			body["version"] = args[1]
			if arm != "" {
				body["served_entity_name"] = arm
			}
			return server.show(cmd, http.MethodPost, endpointPath(args[0])+"/rollout", body)
		},
	}
	cmd.Flags().StringVar(&plan, "plan", "", "file with the plan, JSON (default: the endpoint's)")
	cmd.Flags().StringVar(&arm, "arm", "", "served entity to take over (default: the only one with traffic)")
	return cmd
}

func newRolloutStatusCommand(server *remote) *cobra.Command {
	return &cobra.Command{
		Use:   "status ENDPOINT",
		Short: "Show where an endpoint's rollout stands, and the numbers that the verdict rests on",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return server.show(cmd, http.MethodGet, endpointPath(args[0])+"/rollout", nil)
		},
	}
}

func newRolloutPromoteCommand(server *remote) *cobra.Command {
	var full bool
	cmd := &cobra.Command{
		Use:   "promote ENDPOINT",
		Short: "End the present step (approve a pause, skip a wait), or with --full promote at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			body := map[string]any{"full": full}
			if !full { // the step that is shown is the one that is ended, even if the order arrives twice
				var now rolloutText
				if err := server.call(cmd.Context(), http.MethodGet, endpointPath(args[0])+"/rollout", nil, &now); err != nil {
					return err
				}
				if now.Active {
					body["step"] = now.Step
				}
			}
			return server.show(cmd, http.MethodPost, endpointPath(args[0])+"/rollout/promote", body)
		},
	}
	cmd.Flags().BoolVar(&full, "full", false, "promote at once, without the steps that are left")
	return cmd
}

func newRolloutAbortCommand(server *remote) *cobra.Command {
	return &cobra.Command{
		Use:   "abort ENDPOINT",
		Short: "Take the new version out of the traffic at once",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return server.show(cmd, http.MethodPost, endpointPath(args[0])+"/rollout/abort", map[string]any{})
		},
	}
}

func newRolloutListCommand(server *remote) *cobra.Command {
	return &cobra.Command{
		Use:   "list [ENDPOINT]",
		Short: "List rollouts, the newest first",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := "/api/2.0/sluice/rollouts"
			if len(args) == 1 {
				path = endpointPath(args[0]) + "/rollouts"
			}
			var found struct {
				Rollouts []rolloutText `json:"rollouts"`
			}
			if err := server.call(cmd.Context(), http.MethodGet, path, nil, &found); err != nil {
				return err
			}
			return printRollouts(cmd.OutOrStdout(), found.Rollouts)
		},
	}
}

func endpointPath(name string) string { return "/api/2.0/serving-endpoints/" + url.PathEscape(name) }

// show makes a call that answers a rollout, and prints it.
func (r *remote) show(cmd *cobra.Command, method, path string, body map[string]any) error {
	var now rolloutText
	if err := r.call(cmd.Context(), method, path, body, &now); err != nil {
		return err
	}
	return printRollout(cmd.OutOrStdout(), now)
}

// call asks the server and decodes its answer into out; anything but 200 is an error with the server's sentence.
func (r *remote) call(ctx context.Context, method, path string, body map[string]any, out any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var payload io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return err
		}
		payload = bytes.NewReader(text)
	}
	answer, err := r.do(ctx, method, path, payload)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxRemoteAnswer))
	if err != nil {
		return err
	}
	if answer.StatusCode != http.StatusOK {
		return refusal(method, path, answer.Status, text)
	}
	return json.Unmarshal(text, out)
}

// maxRemoteAnswer is what is read of an answer that is not a download.
const maxRemoteAnswer = 512 << 20

// do sends a request; the caller closes the answer's body.
func (r *remote) do(ctx context.Context, method, path string, payload io.Reader) (*http.Response, error) {
	q, err := http.NewRequestWithContext(ctx, method, strings.TrimRight(r.url, "/")+path, payload)
	if err != nil {
		return nil, err
	}
	q.Header.Set("Content-Type", "application/json")
	if r.key != "" {
		q.Header.Set("Authorization", "Bearer "+r.key)
	}
	return http.DefaultClient.Do(q)
}

// refusal is what an answer other than 200 says.
func refusal(method, path, status string, text []byte) error {
	var refused struct {
		Code    string `json:"error_code"`
		Message string `json:"message"`
	}
	if json.Unmarshal(text, &refused) == nil && refused.Message != "" {
		return fmt.Errorf("%s: %s", refused.Code, refused.Message)
	}
	return fmt.Errorf("%s %s: %s", method, path, status)
}

func printRollout(out io.Writer, r rolloutText) error {
	fmt.Fprintf(out, "endpoint %s: version %s after version %s, %s, %g %% of the traffic\n", r.Endpoint, r.Canary, r.Stable, r.Phase, r.Weight)
	if r.StepText != "" {
		fmt.Fprintf(out, "step %d of %d: %s\n", r.Step+1, len(r.Plan.Steps), r.StepText)
	}
	fmt.Fprintf(out, "requests: canary %d (%d errors), stable %d (%d errors)\n", r.CanarySeen.Requests, r.CanarySeen.Errors, r.StableSeen.Requests, r.StableSeen.Errors)
	if r.Verdict != "" {
		fmt.Fprintf(out, "verdict: %s\n", r.Verdict)
	}
	if r.Reason != "" {
		fmt.Fprintf(out, "reason: %s\n", r.Reason)
	}
	for _, m := range r.Metrics {
		fmt.Fprintf(out, "  %-8s  %s\n", m.Verdict, m.Reason)
	}
	return nil
}

func printRollouts(out io.Writer, all []rolloutText) error {
	w := tabwriter.NewWriter(out, 0, 4, 2, ' ', 0)
	fmt.Fprintln(w, "ENDPOINT\tVERSION\tAFTER\tPHASE\tSTEP\tTRAFFIC\tSTARTED\tENDED")
	for _, r := range all {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%d/%d\t%g %%\t%s\t%s\n", r.Endpoint, r.Canary, r.Stable, r.Phase, min(r.Step+1, len(r.Plan.Steps)), len(r.Plan.Steps),
			r.Weight, whenText(r.StartMS), whenText(r.EndMS))
	}
	return w.Flush()
}
